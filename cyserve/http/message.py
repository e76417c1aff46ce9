"""gunicorn's names for requests, their grammar and their limits; for reading only.

Requests are in `request`, the grammar is the kernel's, decisions are `policy`'s: changing a
constant here changes nothing. What stands here is derived from the one grammar where it has it.
"""

import re
from enum import IntEnum

from cyserve._errors import (
    ExpectationFailed,
    ForbiddenProxyRequest,
    InvalidHeader,
    InvalidHeaderName,
    InvalidHTTPVersion,
    InvalidProxyHeader,
    InvalidProxyLine,
    InvalidRequestLine,
    InvalidRequestMethod,
    InvalidSchemeHeaders,
    LimitRequestHeaders,
    LimitRequestLine,
    NoMoreData,
    ObsoleteFolding,
    UnsupportedTransferCoding,
)
from cyserve._grammar import (
    ALPHA,
    DIGIT,
    FORBIDDEN_TRAILERS,
    MAX_FIELDS,
    METHOD,
    TARGET,
    TOKEN,
    VALUE,
)
from cyserve.http.body import Body, ChunkedReader, LengthReader
from cyserve.http.proxy_protocol import V2_SIGNATURE as PP_V2_SIGNATURE
from cyserve.http.request import Message, Request

__all__ = (
    "DEFAULT_MAX_HEADERFIELD_SIZE",
    "MAX_HEADERS",
    "MAX_REQUEST_LINE",
    "METHOD_BADCHAR_RE",
    "PP_V2_SIGNATURE",
    "RFC9110_5_3_SINGLETON_FIELDS",
    "RFC9110_5_5_INVALID_AND_DANGEROUS",
    "RFC9110_5_6_2_TOKEN_SPECIALS",
    "RFC9110_6_5_1_FORBIDDEN_TRAILER",
    "RFC9112_TARGET_INVALID",
    "TOKEN_RE",
    "VERSION_RE",
    "Body",
    "ChunkedReader",
    "ExpectationFailed",
    "ForbiddenProxyRequest",
    "InvalidHTTPVersion",
    "InvalidHeader",
    "InvalidHeaderName",
    "InvalidProxyHeader",
    "InvalidProxyLine",
    "InvalidRequestLine",
    "InvalidRequestMethod",
    "InvalidSchemeHeaders",
    "LengthReader",
    "LimitRequestHeaders",
    "LimitRequestLine",
    "Message",
    "NoMoreData",
    "ObsoleteFolding",
    "PPCommand",
    "PPFamily",
    "PPProtocol",
    "Request",
    "UnsupportedTransferCoding",
)


def _none_of(allowed: bytes) -> str:
    return f"[^{re.escape(allowed.decode('latin-1'))}]"


def _any_of(allowed: bytes) -> str:
    return f"[{re.escape(allowed.decode('latin-1'))}]"


MAX_REQUEST_LINE = 8190  # the largest `limit_request_line`
MAX_HEADERS = MAX_FIELDS
DEFAULT_MAX_HEADERFIELD_SIZE = 8190  # the default of `limit_request_field_size`

RFC9110_5_6_2_TOKEN_SPECIALS = TOKEN.translate(None, ALPHA + DIGIT).decode()
TOKEN_RE = re.compile(f"{_any_of(TOKEN)}+")
METHOD_BADCHAR_RE = re.compile(_any_of(TOKEN.translate(None, METHOD)))
VERSION_RE = re.compile(r"HTTP/([0-9])\.([0-9])")
RFC9112_TARGET_INVALID = re.compile(_none_of(TARGET))
RFC9110_5_5_INVALID_AND_DANGEROUS = re.compile(_none_of(VALUE))
RFC9110_5_3_SINGLETON_FIELDS = frozenset({"HOST", "CONTENT-TYPE"})
RFC9110_6_5_1_FORBIDDEN_TRAILER = FORBIDDEN_TRAILERS


class PPCommand(IntEnum):
    """What a PROXY header of version 2 is for."""

    LOCAL = 0
    PROXY = 1


class PPFamily(IntEnum):
    """Address families of version 2."""

    UNSPEC = 0
    INET = 1
    INET6 = 2
    UNIX = 3


class PPProtocol(IntEnum):
    """Transports of version 2."""

    UNSPEC = 0
    STREAM = 1
    DGRAM = 2
