"""The access line of a request, made and written for every request: compiled code.

FormatLine makes the line of a format; access_log.py knows formats. While nobody has customised
logging, DirectAccessLog writes the line itself; the logging package would cost twenty times as
much.

May not be done here: deciding what is logged, opening files, raising into a request.
"""

from __future__ import annotations

import logging
import mmap
import os
import stat
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from types import FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

__all__ = ("DirectAccessLog", "FormatLine", "Line", "left_in", "new_tray")

TRAY_BYTES = 32768  # of lines that may wait to be written

#: Makes the line of a request, with its line end.
Line = Callable[["Any", "Any", Mapping[str, "Any"], timedelta], str]

# What a FormatLine does for an atom: look a key of the environ up, or what its name says. CALL has
# a function of its own, USER too, but only for a request with credentials.
GET, TIME, REQUEST, STATUS, SENT, USER, CALL = range(7)
_GET, _TIME, _REQUEST, _STATUS, _SENT, _USER = GET, TIME, REQUEST, STATUS, SENT, USER
_INFO = logging.INFO

# ASCII that has to be escaped in a value. The quote, because formats put values in quotes.
_UNSAFE = bytes(range(32)) + b'"\x7f'

_Logger = logging.Logger


class FormatLine:
    """Makes the access line of one format.

    texts: what stands before, between and behind the values. steps: for each value one of the
    codes above, with the key or function that it needs. escape: makes a value fit for one line.
    time_text: gives the text of a time in seconds.
    """

    def __init__(
        self,
        texts: Sequence[str],
        steps: Sequence[tuple[int, Any]],
        escape: Callable[[str], str],
        time_text: Callable[[float], str],
    ) -> None:
        self.pieces = [texts[0]]  # the values stand at the odd places
        for text in texts[1:]:
            self.pieces += ["", text]
        self.codes = bytes(code for code, _ in steps)
        self.needs = [need for _, need in steps]
        self.escape = escape
        self.time_text = time_text
        # Each in one object, so that threads never see half of it.
        self.stamp: tuple[float, str] = (-1.0, "")  # made once a second
        self.status: tuple[str, str] = ("", "")
        fixed = "".join(texts).encode(errors="replace")
        self.unsafe = len(fixed) - len(fixed.translate(None, _UNSAFE))

    def __call__(
        self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta
    ) -> str:
        return self.make(resp, req, environ, request_time).decode()

    def make(self, resp: Any, req: Any, environ: Any, request_time: Any) -> bytes:
        """The line of one request.

        request_time: a timedelta, or seconds. Raises whatever an atom raises that cannot be had.
        """
        fields = environ if type(environ) is dict else None
        parts = self.pieces[:]
        number = 0
        for code in self.codes:
            need = self.needs[number]
            number += 1
            if code == _GET:
                value = environ.get(need, "-") if fields is None else fields.get(need, "-")
            elif code == _TIME:
                value = self._time()
            elif code == _REQUEST:
                method = environ["REQUEST_METHOD"]
                # "-" alone for a request that was refused before its line could be read.
                value = "-"
                if method != "-":
                    value = f"{method} {environ['RAW_URI']} {environ['SERVER_PROTOCOL']}"
            elif code == _STATUS:
                value = self._status(resp.status)
            elif code == _SENT:
                value = resp.sent
                if value is None:
                    value = "-"
            elif code == _USER and "HTTP_AUTHORIZATION" not in environ:
                value = "-"
            else:
                if type(request_time) is float:
                    request_time = timedelta(seconds=request_time)
                value = need(resp, req, environ, request_time)
            parts[2 * number - 1] = value if type(value) is str else str(value)
        text = "".join(parts)
        if text.isascii():
            data = text.encode()
            # In one pass in C: in a clean line the only quotes are those of the format itself.
            if len(data.translate(None, _UNSAFE)) == len(data) - self.unsafe:
                return data
        for number in range(len(self.codes)):
            parts[2 * number + 1] = self.escape(parts[2 * number + 1])
        return "".join(parts).encode()

    def _time(self) -> str:
        now = time.time()
        stamp = self.stamp
        second = stamp[0]
        if not second <= now < second + 1.0:
            second = now // 1.0
            self.stamp = stamp = (second, self.time_text(second))
        return stamp[1]

    def _status(self, status: Any) -> str:
        known = self.status
        if known[0] != status:
            self.status = known = (status, status.partition(" ")[0])
        return known[1]


class DirectAccessLog:
    """Writes access lines past the logging package for as long as that changes nothing.

    logger: the stdlib logger `gunicorn.access`.
    report: called with a text when lines could not be written, at most once a minute.

    A file is written through a private descriptor that is never closed while requests run, only
    moved (dup2) when the log is reopened: a thread in the middle of a write can thus never hit a
    descriptor that meanwhile belongs to a client's socket.

    Lines are written one by one, but for a worker that has many (`hold`): then they wait in its
    tray for `flush`. The tray is memory shared with the master, which writes what is left in it
    when a worker has died (`left_in`).
    """

    REPORT_EVERY = 60.0  # seconds

    def __init__(self, logger: logging.Logger, report: Callable[[str], None]) -> None:
        self.logger = logger
        self.report = report
        self.armed = False
        # What arm() found; write() goes by it only while it is still so.
        self.handlers: list[logging.Handler] = []
        self.handler: Any = None  # a StreamHandler once armed
        self.stream: Any = None
        self.formatter: logging.Formatter | None = None
        self.call_handlers: object = None
        self.is_enabled_for: object = _Logger.isEnabledFor
        self.line: Any = None
        self.made: FormatLine | None = None  # the same, if it is one
        self.to_file = False
        self.fd = -1
        self.tray: Any = None  # while lines are held; zeros behind the lines in it
        self.size = 0  # bytes of lines in it
        self.busy = threading.Lock()  # held by whoever is at the tray
        self.guarded = False  # against forks of the application
        self.count = 0  # of lines so far
        self.lost = 0
        self.report_after = 0.0

    def write(self, resp: Any, req: Any, environ: Any, request_time: Any) -> bool:
        """Write the line of one request; False when it has to go by way of logging.

        request_time: a timedelta, or seconds. Errors of the target (disk full, reader gone) cost
        the line and never raise.
        """
        # Once for all the lines that go into a tray together.
        if not self.size and (not self.armed or not self._untouched()):
            return False
        try:
            made = self.made
            if made is not None:
                data = made.make(resp, req, environ, request_time)
            else:
                if type(request_time) is float:
                    request_time = timedelta(seconds=request_time)
                data = self.line(resp, req, environ, request_time).encode()
        except Exception:  # an atom could not be had: the long way says so in the error log
            return False
        self.count += 1
        try:
            if self.tray is not None:
                self._keep(data)
            elif self.to_file:
                self._put(data)
            else:
                stream = self.stream
                # Flushed with what the app printed before, so that the order stays.
                stream.write(data.decode())
                stream.flush()
        except (OSError, ValueError) as exc:
            self._count_lost(exc)
        return True

    def _untouched(self) -> bool:
        """Say whether logging would do just what we do: nobody has changed it since arm()."""
        logger, handler = self.logger, self.handler
        return (
            logger.handlers == self.handlers
            and not logger.filters
            and not logger.propagate
            and _Logger.callHandlers is self.call_handlers
            and handler.stream is self.stream
            and handler.formatter is self.formatter
            and not handler.filters
            and handler.level <= _INFO
            and self._is_enabled()
        )

    def _is_enabled(self) -> bool:
        """`logger.isEnabledFor(INFO)`, for less where its answer is known already."""
        logger = self.logger
        known: Any = logger
        if _Logger.isEnabledFor is self.is_enabled_for and known._cache.get(_INFO) is True:
            return not logger.disabled
        return logger.isEnabledFor(_INFO)

    def hold(self, tray: mmap.mmap, apart_from: Sequence[logging.Handler]) -> None:
        """Let lines wait for flush(), which the caller has to see to, if they go to a plain file.

        apart_from: handlers of other logs; in a file that is one of theirs too, order counts.
        """
        if self.tray is not None or not (self.armed and self.to_file):
            return
        try:
            info = os.fstat(self.fd)
            streams = [h.stream for h in apart_from if isinstance(h, logging.StreamHandler)]
            others = [os.fstat(stream.fileno()) for stream in streams]
        except (AttributeError, OSError, ValueError):  # not all of them are files
            return
        if stat.S_ISREG(info.st_mode) and not any(os.path.samestat(info, o) for o in others):
            if not self.guarded:
                self.guarded = True
                os.register_at_fork(after_in_child=self._let_go)
            self.tray = tray

    def _let_go(self) -> None:
        """In a child of a worker: the tray is the worker's."""
        self.tray = None
        self.size = 0
        self.busy = threading.Lock()

    def release(self) -> None:
        """Write what waits; from now on no line does."""
        self.tray, tray = None, self.tray
        if tray is not None and self.busy.acquire(timeout=1.0):  # else its disk does not answer
            try:
                self._empty(tray)
            finally:
                self.busy.release()

    def flush(self) -> None:
        """Write the lines that wait, unless another thread is just doing that."""
        tray = self.tray
        if self.size and tray is not None and self.busy.acquire(False):
            try:
                self._empty(tray)
            finally:
                self.busy.release()

    def _keep(self, data: bytes) -> None:
        tray = self.tray
        if tray is None or not self.busy.acquire(False):
            self._put(data)  # the tray is just being emptied
            return
        try:
            if self.size + len(data) > TRAY_BYTES:
                self._empty(tray)
            if len(data) > TRAY_BYTES or self.tray is None:
                self._put(data)
            else:
                tray.write(data)
                self.size += len(data)
        finally:
            self.busy.release()

    def _empty(self, tray: mmap.mmap) -> None:
        """Write the lines in the tray; whoever calls has `busy`."""
        size = self.size
        try:
            if size:
                self._put(tray[:size])
        except OSError as exc:
            self.lost += tray[:size].count(b"\n") - 1
            self._count_lost(exc)
        finally:
            tray[:size] = bytes(size)
            tray.seek(0)
            self.size = 0

    def _put(self, data: bytes) -> None:
        written = os.write(self.fd, data)
        while written < len(data):
            data = data[written:]
            written = os.write(self.fd, data)

    def settled(self) -> bool:
        """Say whether what arm() found is still there, so that arming again would be no use."""
        return (
            self.armed
            and self.logger.handlers == self.handlers
            and self.handler.stream is self.stream
            and self.handler.formatter is self.formatter
            and _Logger.callHandlers is self.call_handlers
        )

    def disarm(self) -> None:
        """Let every line go by way of logging."""
        self.armed = False

    def arm(self, line: Line) -> None:
        """Take over, with the lines that `line` makes, if logging is as Logger.setup left it.

        Called at setup and after every line that went by way of logging.
        """
        self.flush()
        self.armed = False
        logger = self.logger
        handler = logger.handlers[0] if len(logger.handlers) == 1 else None
        if (
            type(logger) is not logging.Logger
            or not _is_stock(logging.Logger.callHandlers)
            or not _is_plain(handler)
        ):
            return
        assert isinstance(handler, logging.StreamHandler)
        stream: TextIO = handler.stream
        self.to_file = isinstance(handler, logging.FileHandler)
        if self.to_file:
            try:
                self._move_to(stream.fileno())
            except (OSError, ValueError):  # closed under our feet
                return
        self.handler = handler
        self.handlers = [handler]
        self.stream = stream
        self.formatter = handler.formatter
        self.call_handlers = logging.Logger.callHandlers
        self.line = line
        self.made = line if type(line) is FormatLine else None
        self.armed = True

    def _move_to(self, fd: int) -> None:
        """Point the private descriptor at the file that `fd` is open on."""
        if self.fd == -1:
            self.fd = os.dup(fd)
        else:
            os.dup2(fd, self.fd, inheritable=False)

    def _count_lost(self, exc: Exception) -> None:
        self.lost += 1
        now = time.monotonic()
        if now >= self.report_after:
            self.report_after = now + self.REPORT_EVERY
            self.report(f"Access log: {exc} (lines lost so far: {self.lost})")


def new_tray() -> mmap.mmap:
    """Memory for the lines of one worker, made before it is forked."""
    return mmap.mmap(-1, TRAY_BYTES)


def left_in(tray: mmap.mmap) -> bytes:
    """The lines that a worker which is dead could not write any more."""
    return tray[:].partition(b"\0")[0]


def _is_stock(function: object) -> bool:
    """Say whether a method of logging is still the standard library's (APM tools replace them)."""
    return type(function) is FunctionType and function.__globals__ is vars(logging)


def _is_plain(handler: logging.Handler | None) -> bool:
    """Say whether a handler is one of Logger.setup's own for a stream or file, unchanged."""
    if type(handler) not in {logging.StreamHandler, logging.FileHandler}:
        return False
    assert isinstance(handler, logging.StreamHandler)
    return (
        hasattr(handler, "_gunicorn")
        and handler.stream is not None
        and handler.terminator == "\n"
        and type(handler.formatter) is logging.Formatter
        and handler.formatter._fmt == "%(message)s"
        and (
            not isinstance(handler, logging.FileHandler)
            or handler.stream.encoding.lower() in {"utf-8", "utf8"}
        )
    )
