"""The access line of a request, written for every request: compiled code.

A FormatLine (`_lines`) makes the line of a format; access_log.py knows formats. While nobody has
customised logging, DirectAccessLog writes the line itself; the logging package would cost twenty
times as much. What waits in the `Tray` of a worker is not even seen here: the request cycle puts it
there.

May not be done here: deciding what is logged, opening files, raising into a request.
"""

import logging
import mmap
import os
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from types import FunctionType
from typing import Any, TextIO

from cyserve import _accel

__all__ = ("DirectAccessLog", "Line", "new_tray")

TRAY_BYTES = 32768  # of lines that may wait to be written
MANY = 100  # lines per second are many, and as many in a shorter time
_SOME = 16  # lines after which that is looked at
_QUICKLY = _SOME / MANY

#: Makes the line of a request, with its line end.
Line = Callable[[Any, Any, Mapping[str, Any], timedelta], str]

_INFO = logging.INFO

_Logger = logging.Logger
_clock = _accel.runtime.CLOCK


class DirectAccessLog:
    """Writes access lines past the logging package for as long as that changes nothing.

    logger: the stdlib logger `gunicorn.access`.
    report: called with a text when lines could not be written, at most once a minute.

    A file is written through a private descriptor that is never closed while requests run, only
    moved (dup2) when the log is reopened: a thread in the middle of a write can thus never hit a
    descriptor that meanwhile belongs to a client's socket.

    Lines are written one by one, but for a worker that has many (`hold`): then they wait in its
    tray for `flush`. The tray is memory shared with the master, which writes what is left in it
    when a worker has died. While lines wait in it the request cycle adds others (`Tray.note`) and
    asks nobody: whether anything has been customised is looked at once for all of them, here, with
    the first one.
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
        self.made: _accel.FormatLine | None = None  # the same, if it is one
        self.to_file = False
        self.fd = -1
        self.tray: _accel.Tray | None = None  # while lines are held
        self.busy = _accel.runtime.Mutex()  # held by whoever empties the tray
        self.guarded = False  # against forks of the application
        self.count = 0  # of lines written here so far
        self.counted_at = 0.0  # when they were last a multiple of _SOME
        self.on_many: Callable[[], None] | None = None  # called then, if there are many
        self.lost = 0
        self.report_after = 0.0

    def write(self, resp: Any, req: Any, environ: Any, request_time: Any) -> bool:
        """Write the line of one request; False when it has to go by way of logging.

        request_time: a timedelta, or seconds. Errors of the target (disk full, reader gone) cost
        the line and never raise.
        """
        tray = self.tray
        if (tray is None or not tray.size) and (not self.armed or not self._untouched()):
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
        try:
            if tray is not None and self._keep(tray, data):
                return True
            self.count += 1
            if self.count % _SOME == 0 and self.on_many is not None:
                self._look(_clock.monotonic())
            if self.to_file:
                self._put(data)
            else:
                stream = self.stream
                # Flushed with what the app printed before, so that the order stays.
                stream.write(data.decode())
                stream.flush()
        except (OSError, ValueError) as exc:
            self._count_lost(exc)
        return True

    def _look(self, now: float) -> None:
        """Call `on_many` if there are many."""
        quickly = now - self.counted_at < _QUICKLY
        self.counted_at = now
        if quickly and self.tray is None and self.on_many is not None:
            self.on_many()

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

    def hold(self, tray: "_accel.Tray", apart_from: Sequence[logging.Handler]) -> None:
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
            tray.line = self.made
            self.tray = tray

    def _let_go(self) -> None:
        """In a child of a worker: the tray is the worker's."""
        if self.tray is not None:
            self.tray.line = None
        self.tray = None
        self.busy = _accel.runtime.Mutex()

    def release(self) -> None:
        """Write what waits; from now on no line does."""
        tray = self.tray
        self.tray = None
        if tray is not None:
            tray.line = None
            if self.busy.acquire(True, 1.0):  # else its disk does not answer
                try:
                    self._empty(tray)
                finally:
                    self.busy.release()

    def flush(self) -> None:
        """Write the lines that wait, unless another thread is just doing that."""
        tray = self.tray
        if tray is not None and tray.size and self.busy.acquire(False):
            try:
                self._empty(tray)
            finally:
                self.busy.release()

    def lines(self) -> int:
        """How many lines there have been."""
        return self.count if self.tray is None else self.count + self.tray.count

    def _keep(self, tray: "_accel.Tray", data: bytes) -> bool:
        """Put a line into the tray; False if it is too long, or the tray is just being emptied."""
        if tray.add(data):
            return True
        self.flush()
        return tray.add(data)

    def _empty(self, tray: "_accel.Tray") -> None:
        """Write the lines in the tray; whoever calls has `busy`."""
        try:
            tray.empty(self.fd)
        except OSError as exc:
            self.lost += tray.drop() - 1
            self._count_lost(exc)

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
        self.made = line if isinstance(line, _accel.lines.FormatLine) else None
        if self.tray is not None:
            self.tray.line = self.made
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


def new_tray() -> "_accel.Tray":
    """A tray for the lines of one worker, made before it is forked."""
    return _accel.lines.Tray(mmap.mmap(-1, TRAY_BYTES))


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
