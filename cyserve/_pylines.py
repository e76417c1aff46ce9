"""Access lines, each made in one pass, and the tray in which they wait to be written: the
pure-Python twin of `_lines`, and its reference.

It is told what a format consists of, what may stand in a line, and when to write where. It knows
no settings, no logging, nobody's files.
"""

import os
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from cyserve._pyruntime import CLOCK

__all__ = ("FormatLine", "Tray")

# ASCII that has to be escaped in a value. The quote, because formats put values in quotes.
_UNSAFE = bytes(range(32)) + b'"\x7f'

_state = struct.Struct("=Q")
_START = 0xFFFFFFFF  # its lower half is where the lines in a tray end, the upper where they begin


class FormatLine:
    """Makes the access line of one format.

    texts: what stands before, between and behind the values. steps: for each value the name of
    what is done for it, and what that needs: ("field", key) looks a key of the environ up, ("call",
    function) calls function(resp, req, environ), ("user", function) does so only for a request with
    credentials; the others (_STEPS, _DURATIONS) need nothing. escape: makes a value fit for one
    line. time_text: gives the text of a time in seconds.
    """

    def __init__(
        self,
        texts: Sequence[str],
        steps: Sequence[tuple[str, Any]],
        escape: Callable[[str], str],
        time_text: Callable[[float], str],
    ) -> None:
        if len(texts) != len(steps) + 1:
            raise ValueError("there is one text more than there are steps")
        self._pieces = [texts[0]]  # the values stand at the odd places
        for text in texts[1:]:
            self._pieces += ["", text]
        self._steps = [self._step(name, need) for name, need in steps]
        self._escape = escape
        self._time_text = time_text
        self._stamp = (-1, "")  # made once a second; one object, so that threads see all of it
        fixed = "".join(texts).encode()
        self._unsafe = len(fixed) - len(fixed.translate(None, _UNSAFE))

    def __call__(self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: Any) -> str:
        return self.make(resp, req, environ, request_time).decode()

    def make(self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: Any) -> bytes:
        """The line of one request.

        request_time: a timedelta, or seconds. Raises whatever a value raises that cannot be had.
        """
        parts = self._pieces[:]
        values = [str(step(resp, req, environ, request_time)) for step in self._steps]
        parts[1::2] = values
        text = "".join(parts)
        if text.isascii():
            data = text.encode()
            # In a clean line the only quotes are those of the format itself.
            if len(data.translate(None, _UNSAFE)) == len(data) - self._unsafe:
                return data
        parts[1::2] = map(self._escape, values)
        return "".join(parts).encode()

    def _step(self, name: str, need: Any) -> Callable[[Any, Any, Any, Any], Any]:
        if name == "field":
            return lambda resp, req, environ, took: environ.get(need, "-")
        if name == "call":
            return lambda resp, req, environ, took: need(resp, req, environ)
        if name == "user":
            return lambda resp, req, environ, took: (
                need(resp, req, environ) if "HTTP_AUTHORIZATION" in environ else "-"
            )
        if name == "time":
            return self._time
        if name in _DURATIONS:
            duration = _DURATIONS[name]
            return lambda resp, req, environ, took: duration(_timedelta(took))
        if name not in _STEPS:
            raise ValueError(f"{name!r} is no step")
        return _STEPS[name]

    def _time(self, *_: object) -> str:
        second = CLOCK.second()
        stamp = self._stamp
        if stamp[0] != second:
            self._stamp = stamp = (second, self._time_text(second))
        return stamp[1]


def _request(resp: Any, req: Any, environ: Any, took: Any) -> str:
    method = str(environ["REQUEST_METHOD"])
    # "-" alone for a request that was refused before its line could be read.
    if method == "-":
        return "-"
    return f"{method} {environ['RAW_URI']!s} {environ['SERVER_PROTOCOL']!s}"


def _status(resp: Any, req: Any, environ: Any, took: Any) -> Any:
    status = resp.status
    return status.split(None, 1)[0] if isinstance(status, str) else status


def _sent(resp: Any, req: Any, environ: Any, took: Any) -> Any:
    sent = resp.sent
    return "-" if sent is None else sent


_STEPS: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "request": _request,
    "status": _status,
    "sent": _sent,
}


def _timedelta(took: Any) -> timedelta:
    return took if isinstance(took, timedelta) else timedelta(seconds=took)


# How long the request took; days are left out.
_DURATIONS: dict[str, Callable[[timedelta], Any]] = {
    "seconds": lambda took: took.seconds,
    "milliseconds": lambda took: took.seconds * 1000 + took.microseconds // 1000,
    "microseconds": lambda took: took.seconds * 1_000_000 + took.microseconds,
    "decimal": lambda took: f"{took.seconds}.{took.microseconds:06d}",
}


class Tray:
    """Lines of a worker that wait to be written together, in memory that processes share.

    memory: a writable buffer of zeros, 4 GB at most. Where the lines in it begin and end is one
    number, changed in one store: whoever takes over what a killed process has left finds no half
    line, and none twice but those of a `write` that has just returned.

    line: makes the lines that `note` adds; None: it adds none. count: lines added so far.
    Only one at a time may empty it, while others add.
    """

    def __init__(self, memory: Any) -> None:
        self._memory = memoryview(memory)
        self._room = len(self._memory) - _state.size
        if not 0 < self._room < _START:
            raise ValueError("the memory is too small, or too large")
        self._words = self._memory[: _state.size].cast("Q")
        self._lines = self._memory[_state.size :]
        self._guard = threading.Lock()
        self.line: FormatLine | None = None
        self.count = 0

    @property
    def size(self) -> int:
        """Bytes of lines in it."""
        start, end = self._places()
        return end - start

    def _places(self) -> tuple[int, int]:
        state = self._words[0]
        return state >> 32, state & _START

    def note(
        self,
        resp: Any,
        req: Any,
        environ: Mapping[str, Any],
        status: Any,
        sent: int,
        started: float,
    ) -> bool:
        """Make a line and add it, if others wait already; False if that is not so, or fails.

        status, sent: the response's. started: when the request began, by `CLOCK.monotonic()`.
        """
        line = self.line
        if line is None or not self.size:
            return False
        try:
            data = line.make(resp, req, environ, CLOCK.monotonic() - started)
        except Exception:  # whoever asks for the line otherwise will be told
            return False
        return self.add(data)

    def add(self, line: bytes) -> bool:
        """Add a line; False if there is no room for it."""
        with self._guard:
            start, end = self._places()
            if start == end:
                start = end = 0
            if len(line) > self._room - end:
                return False
            self._lines[end : end + len(line)] = line
            self._words[0] = start << 32 | end + len(line)
            self.count += 1
        return True

    def empty(self, fd: int) -> None:
        """Write the lines that are in it now. Raises OSError; then the rest is still there."""
        start, end = self._places()
        while start < end:
            self._take(os.write(fd, self._lines[start:end]))
            start, _ = self._places()

    def _take(self, size: int) -> None:
        with self._guard:
            self._words[0] += size << 32

    def drop(self) -> int:
        """Forget the lines in it; returns how many there were."""
        lines = self.left()
        self._take(len(lines))
        return lines.count(b"\n")

    def left(self) -> bytes:
        """The lines in it."""
        start, end = self._places()
        return bytes(self._lines[start:end])
