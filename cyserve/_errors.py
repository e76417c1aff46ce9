"""Protocol errors: what was wrong with a message, which status says so, which words explain it.

Ground floor. A class carries its `status` and `phrase` and words its own log line (`str`) and
error page (`page_message`); names, attributes and words are gunicorn's. Nothing here sends,
logs or looks at settings, and no error keeps a reference to a buffer or a socket.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


__all__ = (
    "ChunkMissingTerminator",
    "ConfigurationProblem",
    "ContentTooLarge",
    "ExpectationFailed",
    "ForbiddenProxyRequest",
    "InvalidChunkExtension",
    "InvalidChunkSize",
    "InvalidH2CPreface",
    "InvalidHTTPVersion",
    "InvalidHeader",
    "InvalidHeaderName",
    "InvalidProxyHeader",
    "InvalidProxyLine",
    "InvalidRequestLine",
    "InvalidRequestMethod",
    "InvalidResponseHeader",
    "InvalidResponseHeaderName",
    "InvalidSchemeHeaders",
    "LimitRequestHeaders",
    "LimitRequestLine",
    "NoMoreData",
    "ObsoleteFolding",
    "ParseException",
    "PlainHTTPRequest",
    "Refusal",
    "RequestTimeout",
    "ServiceUnavailable",
    "UnsupportedTransferCoding",
)


class Refusal:
    """What a client is told of an error."""

    status: int = 400
    phrase: str = "Bad Request"

    @property
    def code(self) -> int:
        """The same as `status`: gunicorn's name, which some of its errors have."""
        return self.status

    @property
    def page_message(self) -> str:
        """The text of the error page, not yet HTML-escaped."""
        return str(self)


class ParseException(Refusal, Exception):
    """A message that breaks the rules of the protocol, or of this server."""


class NoMoreData(Refusal, ConnectionError):
    """The client closed the connection in the middle of a message: no ParseException."""

    def __init__(self, buf: bytes | None = None) -> None:
        self.buf = buf

    def __str__(self) -> str:
        return f"No more data after: {self.buf!r}"


class ConfigurationProblem(ParseException):
    """The request cannot be served because of how the server was set up."""

    status = 500
    phrase = "Internal Server Error"

    def __init__(self, info: str) -> None:
        self.info = info

    def __str__(self) -> str:
        return f"Configuration problem: {self.info}"


class InvalidRequestLine(ParseException):
    """RFC 9112 section 3."""

    def __init__(self, req: str) -> None:
        self.req = req

    def __str__(self) -> str:
        return f"Invalid HTTP request line: {self.req!r}"

    @property
    def page_message(self) -> str:
        return f"Invalid Request Line '{self}'"


class InvalidRequestMethod(ParseException):
    """RFC 9110 section 9.1, and the conventions of `permit_unconventional_http_method`."""

    def __init__(self, method: str) -> None:
        self.method = method

    def __str__(self) -> str:
        return f"Invalid HTTP method: {self.method!r}"

    @property
    def page_message(self) -> str:
        return f"Invalid Method '{self}'"


class InvalidHTTPVersion(ParseException):
    """RFC 9112 section 2.3. `version` is a text, or a pair of numbers that is out of range."""

    def __init__(self, version: str | tuple[int, int]) -> None:
        self.version = version

    def __str__(self) -> str:
        return f"Invalid HTTP Version: {self.version!r}"

    @property
    def page_message(self) -> str:
        return f"Invalid HTTP Version '{self}'"


class InvalidHeader(ParseException):
    """RFC 9110 section 5.5, RFC 9112 sections 5 and 6. `hdr` is a field name or a whole line."""

    def __init__(self, hdr: str, req: Any = None) -> None:
        self.hdr = hdr
        self.req = req

    def __str__(self) -> str:
        return f"Invalid HTTP Header: {self.hdr!r}"


class InvalidHeaderName(ParseException):
    """RFC 9110 section 5.1."""

    def __init__(self, hdr: str) -> None:
        self.hdr = hdr

    def __str__(self) -> str:
        return f"Invalid HTTP header name: {self.hdr!r}"


class ObsoleteFolding(ParseException):
    """RFC 9112 section 5.2."""

    def __init__(self, hdr: str) -> None:
        self.hdr = hdr

    def __str__(self) -> str:
        return f"Obsolete line folding is unacceptable: {self.hdr!r}"


class InvalidResponseHeader(InvalidHeader):
    """The application gave a field value that must not be sent; the client learns nothing of it."""

    status = 500
    phrase = "Internal Server Error"

    def __str__(self) -> str:
        return f"Invalid response header from the application: {self.hdr}"

    @property
    def page_message(self) -> str:
        return ""


class InvalidResponseHeaderName(InvalidHeaderName):
    """The application gave a field name that must not be sent; the client learns nothing of it."""

    status = 500
    phrase = "Internal Server Error"

    def __str__(self) -> str:
        return f"Invalid response header name from the application: {self.hdr}"

    @property
    def page_message(self) -> str:
        return ""


class UnsupportedTransferCoding(ParseException):
    """RFC 9112 section 6.1."""

    status = 501
    phrase = "Not Implemented"

    def __init__(self, hdr: str) -> None:
        self.hdr = hdr

    def __str__(self) -> str:
        return f"Unsupported transfer coding: {self.hdr!r}"


class InvalidChunkSize(ParseException):
    """RFC 9112 section 7.1."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __str__(self) -> str:
        return f"Invalid chunk size: {self.data!r}"


class ChunkMissingTerminator(ParseException):
    """RFC 9112 section 7.1: chunk data not followed by CRLF."""

    def __init__(self, term: bytes) -> None:
        self.term = term

    def __str__(self) -> str:
        return f"Invalid chunk terminator is not '\\r\\n': {self.term!r}"


class InvalidChunkExtension(ParseException):
    """RFC 9112 section 7.1.1."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __str__(self) -> str:
        return f"Invalid chunk extension: {self.reason}"


class LimitRequestLine(ParseException):
    """RFC 9110 section 15.5.15. Sizes in bytes, without CRLF."""

    status = 414
    phrase = "URI Too Long"

    def __init__(self, size: int, max_size: int | None = None) -> None:
        self.size = size
        self.max_size = max_size

    def __str__(self) -> str:
        return f"Request Line is too large ({self.size} > {self.max_size})"


class LimitRequestHeaders(ParseException):
    """RFC 6585 section 5."""

    status = 431
    phrase = "Request Header Fields Too Large"

    def __init__(self, msg: str) -> None:
        self.msg = msg

    def __str__(self) -> str:
        return self.msg

    @property
    def page_message(self) -> str:
        return f"Error parsing headers: '{self}'"


class InvalidProxyLine(ParseException):
    """PROXY protocol, version 1."""

    def __init__(self, line: str) -> None:
        self.line = line

    def __str__(self) -> str:
        return f"Invalid PROXY line: {self.line!r}"

    @property
    def page_message(self) -> str:
        return f"'{self}'"


class InvalidProxyHeader(ParseException):
    """PROXY protocol, version 2."""

    def __init__(self, msg: str) -> None:
        self.msg = msg

    def __str__(self) -> str:
        return f"Invalid PROXY header: {self.msg}"


class ForbiddenProxyRequest(ParseException):
    """A PROXY header from a peer that is not in `proxy_allow_ips`."""

    status = 403
    phrase = "Forbidden"

    def __init__(self, host: str) -> None:
        self.host = host

    def __str__(self) -> str:
        return f"Proxy request from {self.host!r} not allowed"

    @property
    def page_message(self) -> str:
        return "Request forbidden"


class InvalidSchemeHeaders(ParseException):
    """Two of `secure_scheme_headers` disagree."""

    def __str__(self) -> str:
        return "Contradictory scheme headers"


class ExpectationFailed(ParseException):
    """RFC 9110 section 10.1.1."""

    status = 417
    phrase = "Expectation Failed"

    def __init__(self, expect: str) -> None:
        self.expect = expect

    def __str__(self) -> str:
        return f"Unable to comply with expectation: {self.expect!r}"


class InvalidH2CPreface(ParseException):
    """RFC 9113 section 3.4."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __str__(self) -> str:
        return f"Expected HTTP/2 connection preface, got {self.data!r}"


class RequestTimeout(ParseException, TimeoutError):
    """RFC 9110 section 15.5.9: the client was too slow."""

    status = 408
    phrase = "Request Timeout"

    def __str__(self) -> str:
        return "Request Timeout"


class ServiceUnavailable(ParseException):
    """RFC 9110 section 15.6.4: the request may be good, the worker that has it is leaving."""

    status = 503
    phrase = "Service Unavailable"

    def __str__(self) -> str:
        return "the worker is stopping"


class PlainHTTPRequest(ParseException):
    """A client speaks HTTP where TLS is spoken; nginx's words."""

    def __str__(self) -> str:
        return "The plain HTTP request was sent to HTTPS port"


class ContentTooLarge(ParseException):
    """RFC 9110 section 15.5.14. Sizes in bytes."""

    status = 413
    phrase = "Content Too Large"

    def __init__(self, size: int, max_size: int) -> None:
        self.size = size
        self.max_size = max_size

    def __str__(self) -> str:
        return f"Request body is too large ({self.size} > {self.max_size})"
