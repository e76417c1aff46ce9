"""Settings, section HTTP/2: gunicorn's, checked as there.

This version of cyserve does not speak HTTP/2: who turns it on is told so. The numbers are accepted,
as they ask for nothing by themselves.
"""

from __future__ import annotations

from cyserve.config.core import Setting
from cyserve.config.kinds import Number
from cyserve.config.validators import validate_pos_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cyserve.config.core import Config

__all__ = (
    "ALPN_PROTOCOL_MAP",
    "VALID_HTTP_PROTOCOLS",
    "HTTP2Cleartext",
    "HTTP2InitialWindowSize",
    "HTTP2MaxConcurrentStreams",
    "HTTP2MaxFrameSize",
    "HTTP2MaxHeaderListSize",
    "HTTPProtocols",
    "validate_http2_cleartext",
    "validate_http2_frame_size",
    "validate_http2_stream_limit",
    "validate_http2_window_size",
    "validate_http_protocols",
)

SECTION = "HTTP/2"

#: The names of `http_protocols` and what TLS calls them.
ALPN_PROTOCOL_MAP = {"h1": "http/1.1", "h2": "h2"}
VALID_HTTP_PROTOCOLS = frozenset(ALPN_PROTOCOL_MAP)

_CLEARTEXT = ("off", "prior-knowledge", "upgrade", "both")

# RFC 9113 section 6.5.2
_LARGEST_WINDOW = 2**31 - 1
_SMALLEST_FRAME = 2**14
_LARGEST_FRAME = 2**24 - 1


def validate_http_protocols(val: Any) -> list[str]:
    """h1, h2 or both, separated by commas, the preferred one first; nothing stands for h1."""
    if val is None:
        return ["h1"]
    if not isinstance(val, str):
        raise TypeError("allowed are h1 and h2, in one string, separated by commas")
    words = [word for item in val.split(",") if (word := item.strip().lower())]
    if not VALID_HTTP_PROTOCOLS.issuperset(words) or len(set(words)) < len(words):
        raise ValueError("allowed are h1 and h2, each once, separated by commas")
    return words or ["h1"]


def validate_http2_cleartext(val: Any) -> str:
    """off, prior-knowledge, upgrade or both, in any case; True is prior-knowledge."""
    allowed = f"allowed are {', '.join(_CLEARTEXT)}, True and False"
    if val is None or isinstance(val, bool):
        return "prior-knowledge" if val else "off"
    if not isinstance(val, str):
        raise TypeError(allowed)
    word = val.strip().lower()
    if word not in _CLEARTEXT:
        raise ValueError(allowed)
    return word


def _within(val: Any, smallest: int, largest: int) -> int:
    number = validate_pos_int(val)
    if not smallest <= number <= largest:
        raise ValueError(f"allowed is a whole number from {smallest} to {largest}")
    return number


def validate_http2_stream_limit(val: Any) -> int:
    """A whole number, 1 or more."""
    number = validate_pos_int(val)
    if not number:
        raise ValueError("allowed is a whole number, 1 or more")
    return number


def validate_http2_window_size(val: Any) -> int:
    """What a window may be: 0 to 2**31 - 1."""
    return _within(val, 0, _LARGEST_WINDOW)


def validate_http2_frame_size(val: Any) -> int:
    """What a frame may be: 2**14 to 2**24 - 1."""
    return _within(val, _SMALLEST_FRAME, _LARGEST_FRAME)


class HTTPProtocols(Setting):
    name = "http_protocols"
    section = SECTION
    cli = ("--http-protocols",)
    meta = "STRING"
    validator = validate_http_protocols
    default = "h1"
    desc = """\
        Which versions of HTTP to offer over TLS: h1 for HTTP/1.1, h2 for HTTP/2.

        Separated by commas, the preferred one first. This version of cyserve has no HTTP/2: with
        h2 it does not start.
        """

    def missing(self, cfg: Config) -> str | None:
        return "HTTP/2" if "h2" in self.get() else None


class HTTP2Cleartext(Setting):
    name = "http2_cleartext"
    section = SECTION
    cli = ("--http2-cleartext",)
    meta = "STRING"
    validator = validate_http2_cleartext
    default = "off"
    desc = """\
        How trusted peers may begin HTTP/2 without TLS: off, prior-knowledge, upgrade or both.

        This version of cyserve has no HTTP/2: with anything but off it does not start.
        """

    def missing(self, cfg: Config) -> str | None:
        return None if self.get() == "off" else "HTTP/2"


class HTTP2MaxConcurrentStreams(Number):
    name = "http2_max_concurrent_streams"
    section = SECTION
    cli = ("--http2-max-concurrent-streams",)
    validator = validate_http2_stream_limit
    default = 100
    desc = """\
        Most requests at once on an HTTP/2 connection.
        """


class HTTP2InitialWindowSize(Number):
    name = "http2_initial_window_size"
    section = SECTION
    cli = ("--http2-initial-window-size",)
    validator = validate_http2_window_size
    default = 65535
    desc = """\
        Bytes of a request body that a client may send ahead on HTTP/2, at most 2147483647.
        """


class HTTP2MaxFrameSize(Number):
    name = "http2_max_frame_size"
    section = SECTION
    cli = ("--http2-max-frame-size",)
    validator = validate_http2_frame_size
    default = 16384
    desc = """\
        Longest HTTP/2 frame in bytes, from 16384 to 16777215.
        """


class HTTP2MaxHeaderListSize(Number):
    name = "http2_max_header_list_size"
    section = SECTION
    cli = ("--http2-max-header-list-size",)
    default = 65536
    desc = """\
        Bytes of header fields that an HTTP/2 request may have; 0 says nothing to the client.
        """
