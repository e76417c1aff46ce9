"""The server's own fields of an answer: Server, Date, Connection, Transfer-Encoding.

Made once per second for each way a connection can go on, since the Date has no finer grain (RFC
9110 section 5.6.7). What the application says is not here.
"""

import sys

import cyserve
from cyserve import _accel
from cyserve.http.date import http_date

_clock = _accel.runtime.CLOCK


def own_name(name: str) -> str:
    """What the server calls itself now; name: SERVER (in answers) or SERVER_SOFTWARE.

    Users overwrite these in the package before the server starts, or in `http.wsgi` at any time.
    """
    built = _NAMES[name]
    late = getattr(sys.modules.get("cyserve.http.wsgi"), name, built)
    return str(late if late != built else getattr(cyserve, name))


_NAMES = {name: getattr(cyserve, name) for name in ("SERVER", "SERVER_SOFTWARE")}


class ServerFields:
    """Those fields as bytes, each with its CRLF."""

    def __init__(self) -> None:
        self.second = -1
        self.fields: dict[tuple[str, bool], bytes] = {}
        self.keep = self.close = b""

    def usual(self, closes: bool) -> bytes:
        """For an answer with a Content-Length: the connection is closed, or kept."""
        if _clock.second() != self.second:
            self._begin()
        return self.close if closes else self.keep

    def get(self, connection: str, chunked: bool) -> bytes:
        """For any answer; connection: what the field of that name says."""
        if _clock.second() != self.second:
            self._begin()
        fields = self.fields.get((connection, chunked))
        if fields is None:
            fields = _made(self.second, connection, chunked)
            self.fields[connection, chunked] = fields
        return fields

    def _begin(self) -> None:
        """Another second has begun."""
        second = _clock.second()
        keep, close = _made(second, "keep-alive"), _made(second, "close")
        self.fields = {}
        self.keep = keep
        self.close = close
        self.second = second  # last: another thread may look in the meantime


def _made(second: int, connection: str, chunked: bool = False) -> bytes:
    coding = "Transfer-Encoding: chunked\r\n" if chunked else ""
    return (
        f"Server: {own_name('SERVER')}\r\nDate: {http_date(second)}\r\n"
        f"Connection: {connection}\r\n{coding}"
    ).encode("latin-1")
