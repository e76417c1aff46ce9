"""The grammar of HTTP/1.1 (RFC 9110, RFC 9112) and what it maps to: byte classes, limits, names.

Ground floor. Both twins build their tables from these constants at import; a byte class, a limit,
a flag, an error text or an environ key exists here and nowhere else. What is rare in a request is
decided here too, once, by plain functions that both twins call: odd request lines, lists of
connection options, transfer codings, chunk extensions. Nothing here knows a buffer.

On Latin-1 text never str.strip(), isdigit(), int() or split() without an argument: they accept
characters that HTTP does not.
"""

import re
from typing import Protocol
from urllib.parse import urlsplit

from cyserve._errors import (
    InvalidChunkExtension,
    InvalidHeader,
    InvalidHeaderName,
    InvalidHTTPVersion,
    InvalidRequestLine,
    InvalidRequestMethod,
    ParseException,
    UnsupportedTransferCoding,
)

# Classification of a request head: a bit for each thing that needs a decision by http/policy.py.
HAS_EXPECT = 1 << 0       # an Expect field
HAS_UPGRADE = 1 << 1      # an Upgrade field
HAS_UNDERSCORE = 1 << 2   # a field name containing "_"
HAS_SCHEME = 1 << 3       # a field named in HeadRules.scheme_headers
HAS_PROXY = 1 << 4        # a Proxy field (httpoxy)
HAS_CODINGS = 1 << 5      # transfer codings beside chunked: the body stays encoded

FIELD_FLAGS = {"EXPECT": HAS_EXPECT, "UPGRADE": HAS_UPGRADE, "PROXY": HAS_PROXY}

# Byte classes.
ALPHA = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
DIGIT = b"0123456789"
HEXDIG = b"0123456789abcdefABCDEF"
TOKEN = ALPHA + DIGIT + b"!#$%&'*+-.^_`|~"             # RFC 9110 section 5.6.2
METHOD = TOKEN.translate(None, ALPHA[26:] + b"#")      # of a method, by convention
TARGET = bytes(range(0x21, 0x7F))                      # of a request target
VALUE = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))  # RFC 9110 section 5.5

# Limits, in bytes unless the name says otherwise.
MAX_HEAD = 1 << 30              # where a setting says "unlimited"
MAX_FIELDS = 32768              # fields in a head, where the setting is 0 or more than this
MAX_LENGTH = (1 << 63) - 1      # of a body or of a chunk
CHUNK_LINE = 8190               # of a chunk-size line, where limit_request_field_size is 0
MAX_CHUNK_EXTENSIONS = 65536    # of all chunk extensions of one body

# Error texts that more than one place needs (gunicorn's words).
BARE_LF = "bare LF as line terminator"
TOO_MANY_FIELDS = "limit request headers fields"
FIELD_TOO_LARGE = "limit request headers fields size"
HEAD_TOO_LARGE = "max buffer headers"
EXTENSIONS_TOO_LARGE = "too many bytes of chunk extensions"

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE")

# Must not come in a trailer section (RFC 9110 section 6.5.1): framing, routing, credentials.
FORBIDDEN_TRAILERS = frozenset(
    {"AUTHORIZATION", "CONTENT-LENGTH", "HOST", "TE", "TRAILER", "TRANSFER-ENCODING"}
)

# Response fields that are not simply passed on, and what is done with them (gunicorn's list).
DROPPED = 1          # hop-by-hop, or the server's own to send
CONNECTION = 2       # dropped, but its options "upgrade" and "close" are heeded
UPGRADE = 3          # dropped unless it says "websocket"
CONTENT_LENGTH = 4   # digits, and once
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


class LineRules(Protocol):
    """What a request line is judged by: the part of HeadRules that this module reads."""

    @property
    def permit_unconventional_http_method(self) -> bool: ...
    @property
    def permit_unconventional_http_version(self) -> bool: ...
    @property
    def casefold_http_method(self) -> bool: ...


def environ_key(name: str) -> str:
    """The CGI name (RFC 3875 section 4.1) of the field with this upper-case name."""
    if name in {"CONTENT-TYPE", "CONTENT-LENGTH"}:
        return name.replace("-", "_")
    return "HTTP_" + name.replace("-", "_")


def field_flags(name: str, scheme_headers: tuple[str, ...]) -> int:
    """The classification of a field with this upper-case name."""
    flags = FIELD_FLAGS.get(name, 0)
    if "_" in name:
        flags |= HAS_UNDERSCORE
    if name in scheme_headers:
        flags |= HAS_SCHEME
    return flags


_METHOD = re.compile(r"[A-Z0-9!#$%&'*+\-.^_`|~a-z]+")
_CONVENTIONAL_METHOD = re.compile(r"[A-Z0-9!$%&'*+\-.^_`|~]{3,20}")
_TARGET = re.compile(r"[!-~]+")
_VERSION = re.compile(r"HTTP/([0-9])\.([0-9])")


def parse_request_line(
    line: str, rules: LineRules
) -> tuple[str, str, str, str, str, tuple[int, int]]:
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
    try:
        parts = urlsplit(target)
    except ValueError:
        raise InvalidRequestLine(line) from None
    return parts.path, parts.query, parts.fragment


def malformed_field(line: str, strip_header_spaces: bool) -> ParseException:
    """The error for a field line whose name is not a token followed by a colon."""
    name, colon, _ = line.partition(":")
    if not colon or not name:
        return InvalidHeader(line)
    return InvalidHeaderName(name.rstrip(" \t") if strip_header_spaces else name)


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


_DIGITS = re.compile(r"[0-9]+")


def content_length(value: str) -> int:
    """The number of a Content-Length field (RFC 9110 section 8.6), or InvalidHeader."""
    digits = value.lstrip("0")
    if _DIGITS.fullmatch(value) and len(digits) <= 19:
        length = int(digits or "0")
        if length <= MAX_LENGTH:
            return length
    raise InvalidHeader("CONTENT-LENGTH")


# RFC 9112 section 7.1.1. The alternatives at each point start with different bytes, so that
# matching takes linear time.
_CHUNK_EXTENSIONS = re.compile(
    rb"""(?:[ \t]*;[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+
         (?:[ \t]*=[ \t]*(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+
            |"(?:[\t\x20!\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"))?)+""",
    re.VERBOSE,
)


def check_chunk_extensions(text: bytes) -> None:
    """Refuse `text`, from the first ";" to the CRLF of a chunk-size line, if it is malformed."""
    if b"\r" in text:
        raise InvalidChunkExtension("bare CR not allowed")
    if not _CHUNK_EXTENSIONS.fullmatch(text):
        raise InvalidChunkExtension("invalid chunk extension")
