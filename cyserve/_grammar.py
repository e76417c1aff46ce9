"""The grammar of HTTP/1.1 (RFC 9110, RFC 9112) and what it maps to: byte classes, limits, names.

Ground floor. Both twins build their tables from these constants at import; a byte class, a limit,
a flag, an error text or an environ key exists here and nowhere else. The reader that judges text
by the grammar is here too: the pure twin reads every head with it, the compiled one whatever is
not plainly good, so that what is odd is decided in one place. Nothing here knows a buffer.

On Latin-1 text never str.strip(), isdigit(), int() or split() without an argument: they accept
characters that HTTP does not.
"""

from __future__ import annotations

import re

from cyserve._errors import (
    InvalidChunkExtension,
    InvalidChunkSize,
    InvalidHeader,
    InvalidHeaderName,
    InvalidHTTPVersion,
    InvalidRequestLine,
    InvalidRequestMethod,
    LimitRequestHeaders,
    LimitRequestLine,
    ObsoleteFolding,
    UnsupportedTransferCoding,
)
from cyserve._pattern import Pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

# Classification of a request head: a bit for each thing that needs a decision by http/policy.py.
HAS_EXPECT = 1 << 0  # an Expect field
HAS_UPGRADE = 1 << 1  # an Upgrade field
HAS_UNDERSCORE = 1 << 2  # a field name containing "_"
HAS_SCHEME = 1 << 3  # a field named in HeadRules.scheme_headers
HAS_PROXY = 1 << 4  # a Proxy field (httpoxy)
HAS_CODINGS = 1 << 5  # transfer codings beside chunked: the body stays encoded

FRAMES = 1 << 16  # beside them, for the reader alone: the field frames the message

FIELD_FLAGS = {
    "EXPECT": HAS_EXPECT,
    "UPGRADE": HAS_UPGRADE,
    "PROXY": HAS_PROXY,
    "HOST": FRAMES,
    "CONTENT-TYPE": FRAMES,
    "CONTENT-LENGTH": FRAMES,
    "TRANSFER-ENCODING": FRAMES,
    "CONNECTION": FRAMES,
}

# Byte classes.
ALPHA = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
DIGIT = b"0123456789"
HEXDIG = b"0123456789abcdefABCDEF"
TOKEN = ALPHA + DIGIT + b"!#$%&'*+-.^_`|~"  # RFC 9110 section 5.6.2
METHOD = TOKEN.translate(None, ALPHA[26:] + b"#")  # of a method, by convention
TARGET = bytes(range(0x21, 0x7F))  # of a request target
VALUE = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))  # RFC 9110 section 5.5

# Limits, in bytes unless the name says otherwise.
MAX_HEAD = 1 << 30  # where a setting says "unlimited"
MAX_FIELDS = 32768  # fields in a head, where the setting is 0 or more than this
MAX_LENGTH = (1 << 63) - 1  # of a body or of a chunk
CHUNK_LINE = 8190  # of a chunk-size line, where limit_request_field_size is 0
MAX_CHUNK_EXTENSIONS = 65536  # of all chunk extensions of one body

# Error texts that more than one place needs (gunicorn's words).
BARE_LF = "bare LF as line terminator"
TOO_MANY_FIELDS = "limit request headers fields"
FIELD_TOO_LARGE = "limit request headers fields size"
HEAD_TOO_LARGE = "max buffer headers"

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE")

# Must not come in a trailer section (RFC 9110 section 6.5.1): framing, routing, credentials.
FORBIDDEN_TRAILERS = frozenset(
    {"AUTHORIZATION", "CONTENT-LENGTH", "HOST", "TE", "TRAILER", "TRANSFER-ENCODING"}
)

# Response fields that are not simply passed on, and what is done with them (gunicorn's list).
DROPPED = 1  # hop-by-hop, or the server's own to send
CONNECTION = 2  # dropped, but its options "upgrade" and "close" are heeded
UPGRADE = 3  # dropped unless it says "websocket"
CONTENT_LENGTH = 4  # digits, and once
RESPONSE_FIELDS = {
    "connection": CONNECTION,
    "content-length": CONTENT_LENGTH,
    "date": DROPPED,
    "keep-alive": DROPPED,
    "proxy-authenticate": DROPPED,
    "proxy-authorization": DROPPED,
    "server": DROPPED,
    "te": DROPPED,
    "trailers": DROPPED,
    "transfer-encoding": DROPPED,
    "upgrade": UPGRADE,
}

# Field names for which the twins keep environ keys ready. A name not listed costs a little more.
COMMON_FIELDS = tuple(
    """
    ACCEPT ACCEPT-CHARSET ACCEPT-ENCODING ACCEPT-LANGUAGE ACCESS-CONTROL-REQUEST-HEADERS
    ACCESS-CONTROL-REQUEST-METHOD AUTHORIZATION CACHE-CONTROL CF-CONNECTING-IP CF-RAY CONNECTION
    CONTENT-DISPOSITION CONTENT-ENCODING CONTENT-LANGUAGE CONTENT-LENGTH CONTENT-TYPE COOKIE DATE
    DNT EXPECT FORWARDED FROM HOST IF-MATCH IF-MODIFIED-SINCE IF-NONE-MATCH IF-RANGE
    IF-UNMODIFIED-SINCE KEEP-ALIVE MAX-FORWARDS ORIGIN PRAGMA PRIORITY PROXY PROXY-AUTHORIZATION
    PURPOSE RANGE REFERER SEC-CH-UA SEC-CH-UA-MOBILE SEC-CH-UA-PLATFORM SEC-FETCH-DEST
    SEC-FETCH-MODE SEC-FETCH-SITE SEC-FETCH-USER SEC-GPC SEC-PURPOSE SEC-WEBSOCKET-EXTENSIONS
    SEC-WEBSOCKET-KEY SEC-WEBSOCKET-PROTOCOL SEC-WEBSOCKET-VERSION TE TRACEPARENT TRACESTATE
    TRAILER TRANSFER-ENCODING TRUE-CLIENT-IP UPGRADE UPGRADE-INSECURE-REQUESTS USER-AGENT VIA
    X-AMZN-TRACE-ID X-CSRF-TOKEN X-CSRFTOKEN X-FORWARDED-FOR X-FORWARDED-HOST X-FORWARDED-PORT
    X-FORWARDED-PREFIX X-FORWARDED-PROTO X-FORWARDED-PROTOCOL X-FORWARDED-SSL X-REAL-IP
    X-REQUEST-ID X-REQUESTED-WITH
    """.split()
)


if TYPE_CHECKING:

    class Rules(Protocol):
        """What the reader uses of HeadRules."""

        @property
        def limit_request_line(self) -> int: ...
        @property
        def limit_request_fields(self) -> int: ...
        @property
        def limit_request_field_size(self) -> int: ...
        @property
        def permit_obsolete_folding(self) -> bool: ...
        @property
        def strip_header_spaces(self) -> bool: ...
        @property
        def permit_unconventional_http_method(self) -> bool: ...
        @property
        def permit_unconventional_http_version(self) -> bool: ...
        @property
        def casefold_http_method(self) -> bool: ...
        @property
        def scheme_headers(self) -> tuple[str, ...]: ...
        @property
        def known_fields(self) -> dict[str, tuple[str, int]]: ...

    class Head(Protocol):
        """What the reader fills in of RequestHead."""

        method: str
        target: str
        path: str
        query: str
        fragment: str
        version: tuple[int, int]
        headers: list[tuple[str, str]]
        flags: int
        content_length: int
        chunked: bool
        keep_alive: bool


# -- names -----------------------------------------------------------------------------------------


#: What the environ says of a GET over HTTP/1.1 without a query: most requests are.
READY_ENVIRON = {"REQUEST_METHOD": "GET", "QUERY_STRING": "", "SERVER_PROTOCOL": "HTTP/1.1"}


def environ_key(name: str) -> str:
    """The CGI name (RFC 3875 section 4.1) of the field with this upper-case name."""
    if name in {"CONTENT-TYPE", "CONTENT-LENGTH"}:
        return name.replace("-", "_")
    return "HTTP_" + name.replace("-", "_")


ENVIRON_KEYS = {name: environ_key(name) for name in COMMON_FIELDS}


def field_flags(name: str, scheme_headers: tuple[str, ...]) -> int:
    """The classification of a field with this upper-case name."""
    flags = FIELD_FLAGS.get(name, 0)
    if "_" in name:
        flags |= HAS_UNDERSCORE
    if name in scheme_headers:
        flags |= HAS_SCHEME
    return flags


def known_fields(scheme_headers: tuple[str, ...]) -> dict[str, tuple[str, int]]:
    """The usual spellings of common names: name as sent -> (upper-case name, flags)."""
    return {
        spelling: (name, field_flags(name, scheme_headers))
        for name in (*COMMON_FIELDS, *scheme_headers)
        for spelling in (name.lower(), name.title(), name)
    }


# -- request line --------------------------------------------------------------------------------

_METHOD = Pattern(r"[A-Z0-9!#$%&'*+\-.^_`|~a-z]+")
_CONVENTIONAL_METHOD = Pattern(r"[A-Z0-9!$%&'*+\-.^_`|~]{3,20}")
_TARGET = Pattern(r"[!-~]+")
_VERSION = Pattern(r"HTTP/([0-9])\.([0-9])")


def parse_request_line(line: str, rules: Rules) -> tuple[str, str, str, str, str, tuple[int, int]]:
    """Split a request line (RFC 9112 section 3), given without its CRLF and decoded as Latin-1.

    Returns method, target, path, query, fragment, version.
    Raises InvalidRequestLine, InvalidRequestMethod or InvalidHTTPVersion.
    """
    parts = line.split(" ", 2)
    if len(parts) != 3:
        raise InvalidRequestLine(line)
    method, target, protocol = parts
    grammar = _METHOD if rules.permit_unconventional_http_method else _CONVENTIONAL_METHOD
    if not grammar.fullmatch(method):
        raise InvalidRequestMethod(method)
    if rules.casefold_http_method:
        method = method.upper()
    if not _TARGET.fullmatch(target):
        raise InvalidRequestLine(line)
    path, query, fragment = _split_target(method, target, line)
    match = _VERSION.fullmatch(protocol)
    if match is None:
        raise InvalidHTTPVersion(protocol)
    version = (int(match[1]), int(match[2]))
    if not (1, 0) <= version < (2, 0) and not rules.permit_unconventional_http_version:
        raise InvalidHTTPVersion(version)
    return method, target, path, query, fragment, version


def _split_target(method: str, target: str, line: str) -> tuple[str, str, str]:
    """Path, query and fragment of a request target of any form (RFC 9112 section 3.2)."""
    if target.startswith("/"):  # urlsplit would take //x for an authority
        rest, _, fragment = target.partition("#")
        path, _, query = rest.partition("?")
        return path, query, fragment
    if target == "*":
        allowed = method == "OPTIONS"
    else:
        allowed = method == "CONNECT" or "://" in target
    if not allowed:
        raise InvalidRequestLine(line)
    from urllib.parse import urlsplit  # noqa: PLC0415 - rarely needed

    try:
        parts = urlsplit(target)
    except ValueError:
        raise InvalidRequestLine(line) from None
    return parts.path, parts.query, parts.fragment


# -- fields --------------------------------------------------------------------------------------


def connection_options(value: str) -> tuple[bool, bool]:
    """Whether a Connection field (RFC 9110 section 7.6.1) lists close, and whether keep-alive."""
    options = [option.strip(" \t") for option in value.lower().split(",")]
    return "close" in options, "keep-alive" in options


def response_options(value: str) -> tuple[bool, bool]:
    """Whether an application's Connection field lists upgrade, and whether close."""
    options = [option.strip(" \t") for option in value.lower().split(",")]
    return "upgrade" in options, "close" in options


def transfer_codings(values: list[str]) -> bool:
    """Judge the Transfer-Encoding fields of a request (RFC 9112 section 6.1).

    Returns whether there are codings beside chunked.
    Raises UnsupportedTransferCoding for one that is not known, InvalidHeader when chunked is not
    the last one or not there exactly once.
    """
    chunked = encoded = False
    for value in values:
        for item in value.lower().split(","):
            coding = item.strip(" \t")
            if coding not in {"chunked", "identity", "gzip", "deflate", "compress"}:
                raise UnsupportedTransferCoding(value)
            if chunked:
                raise InvalidHeader("TRANSFER-ENCODING")
            if coding == "chunked":
                chunked = True
            elif coding != "identity":
                encoded = True
    if not chunked:
        raise InvalidHeader("TRANSFER-ENCODING")
    return encoded


_DIGITS = Pattern(r"[0-9]+")


def content_length(value: str) -> int:
    """The number of a Content-Length field (RFC 9110 section 8.6), or InvalidHeader."""
    digits = value.lstrip("0")
    if _DIGITS.fullmatch(value) and len(digits) <= 19:
        length = int(digits or "0")
        if length <= MAX_LENGTH:
            return length
    raise InvalidHeader("CONTENT-LENGTH")


_PLAIN = dict.fromkeys(VALUE)  # for str.translate: deletes what a value may hold
_NAME = dict.fromkeys(TOKEN)  # and what a name may hold
_SINGLE = frozenset({"HOST", "CONTENT-TYPE", "CONTENT-LENGTH"})
_FIELD_END = Pattern(r"\r\n(?![ \t])")


class Fields:
    """The fields of a head or trailer section, and what of them frames the message."""

    __slots__ = ("close", "codings", "flags", "headers", "keep", "length", "seen")

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []
        self.flags = 0
        self.seen: set[str] = set()
        self.codings: list[str] = []
        self.length: str | None = None
        self.close = self.keep = False

    def read(self, section: str, rules: Rules) -> None:
        """Read the field lines of a section given without its last CRLF CRLF.

        Raises InvalidHeader, InvalidHeaderName, ObsoleteFolding or LimitRequestHeaders.
        """
        if rules.permit_obsolete_folding:
            lines = _FIELD_END.split(section)
            clean = False
        else:
            lines = section.split("\r\n")
            clean = section.translate(_PLAIN) == "\r\n" * (len(lines) - 1)
        known = rules.known_fields
        most = rules.limit_request_fields
        room = rules.limit_request_field_size - 2
        headers = self.headers
        for line in lines:
            if len(headers) >= most:
                raise LimitRequestHeaders(TOO_MANY_FIELDS)
            name, colon, value = line.partition(":")
            field = known.get(name) if colon else None
            if field is None:
                field = self._uncommon(line, rules)
            value = value.strip(" \t")
            if not clean:
                value = _checked(field[0], value)
            if len(line) > room:
                raise LimitRequestHeaders(FIELD_TOO_LARGE)
            headers.append((field[0], value))
            if field[1]:
                self._note(field[0], value, field[1])

    def _uncommon(self, line: str, rules: Rules) -> tuple[str, int]:
        """Upper-case name and flags of a field whose name is not spelled as usual."""
        if line[:1] in {" ", "\t"} and self.headers:
            raise ObsoleteFolding(self.headers[-1][0])
        name, colon, _ = line.partition(":")
        if not colon or not name:
            raise InvalidHeader(line.partition("\r\n")[0])
        if rules.strip_header_spaces:
            name = name.rstrip(" \t")
        if not name or name.translate(_NAME):
            if "\r\n" in name:
                raise InvalidHeader(line.partition("\r\n")[0])
            raise InvalidHeaderName(name)
        name = name.upper()
        return name, field_flags(name, rules.scheme_headers)

    def _note(self, name: str, value: str, flags: int) -> None:
        """Take notice of a field that is classified or that frames the message."""
        self.flags |= flags & ~FRAMES
        if name in self.seen and name in _SINGLE:
            raise InvalidHeader(name)
        self.seen.add(name)
        if name == "CONNECTION":
            close, keep = connection_options(value)
            self.close |= close
            self.keep |= keep
        elif name == "TRANSFER-ENCODING":
            self.codings.append(value)
        elif name == "CONTENT-LENGTH":
            self.length = value


def _checked(name: str, value: str) -> str:
    """The value with its continuation lines joined, or InvalidHeader."""
    if "\r\n" in value:
        value = " ".join([piece.strip(" \t") for piece in value.split("\r\n")]).strip(" \t")
    if value.translate(_PLAIN):
        raise InvalidHeader(name)
    return value


def read_head(head: Head, line: str, section: str, rules: Rules) -> None:
    """Fill in `head` from a request line and its fields, given without CRLF and CRLF CRLF.

    Raises a ParseException (RFC 9112 sections 3, 5 and 6).
    """
    if len(line) > rules.limit_request_line:
        raise LimitRequestLine(len(line), rules.limit_request_line)
    (head.method, head.target, head.path, head.query, head.fragment, head.version) = (
        parse_request_line(line, rules)
    )
    fields = Fields()
    if section:
        fields.read(section, rules)
    head.headers = fields.headers
    head.flags = fields.flags
    head.content_length = 0
    head.chunked = False
    if fields.codings:
        if transfer_codings(fields.codings):
            head.flags |= HAS_CODINGS
        if head.version < (1, 1):
            raise InvalidHeader("TRANSFER-ENCODING")
        if fields.length is not None:
            raise InvalidHeader("CONTENT-LENGTH")
        head.chunked = True
    elif fields.length is not None:
        head.content_length = content_length(fields.length)
    if fields.close or head.method == "CONNECT":
        head.keep_alive = False
    else:
        head.keep_alive = fields.keep or head.version > (1, 0)


def read_trailers(section: str, rules: Rules) -> list[tuple[str, str]]:
    """The fields of a trailer section given without its last CRLF CRLF (RFC 9112 section 7.1.2).

    Raises what `Fields.read` raises, and InvalidHeaderName for a field that must not come there.
    """
    fields = Fields()
    fields.read(section, rules)
    for name, _ in fields.headers:
        if name in FORBIDDEN_TRAILERS:
            raise InvalidHeaderName(name)
    return fields.headers


# -- chunks ----------------------------------------------------------------------------------------

# RFC 9112 section 7.1.1. The alternatives at each point start with different bytes, so that
# matching takes linear time.
_CHUNK_EXTENSIONS = Pattern(
    rb"""(?:[ \t]*;[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+
         (?:[ \t]*=[ \t]*(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+
            |"(?:[\t\x20!\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"))?)+""",
    re.VERBOSE,
)


def read_chunk_size(line: bytes, extensions: int) -> tuple[int, int]:
    """Read a chunk-size line given without its CRLF (RFC 9112 section 7.1).

    extensions: bytes of chunk extensions that the body had before.
    Returns the size of the chunk and the new number of bytes of extensions.
    Raises InvalidChunkSize or InvalidChunkExtension.
    """
    number, extended, rest = line.partition(b";")
    if extended:
        number = number.rstrip(b" \t")
        extensions += len(rest) + 1
    digits = number.lstrip(b"0")
    if not number or number.translate(None, HEXDIG) or len(digits) > 16:
        raise InvalidChunkSize(number)
    size = int(digits or b"0", 16)
    if size > MAX_LENGTH:
        raise InvalidChunkSize(number)
    if b"\r" in rest:
        raise InvalidChunkExtension("bare CR not allowed")
    if extended and not _CHUNK_EXTENSIONS.fullmatch(b";" + rest):
        raise InvalidChunkExtension("invalid chunk extension")
    if extensions > MAX_CHUNK_EXTENSIONS:
        raise InvalidChunkExtension("too many bytes of chunk extensions")
    return size, extensions
