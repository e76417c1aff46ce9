"""What the engine asks for at every request: the pure-Python twin of `_runtime`, and its reference.

It knows the interpreter and the machine: no bytes of HTTP, no state of connections, no settings.
Nothing is kept to be used again here: only C can tell whether somebody still refers to a thing.
"""

import contextlib
import os
import socket
import struct
import threading
import time
from collections import deque
from typing import Any

__all__ = ("CLOCK", "GATE", "Clock", "Gate", "Lane", "Mutex", "Number", "Pool", "Row")


_lane = struct.Struct("=96sQQ")  # line, requests begun, start of the one that runs
_word = struct.Struct("=Q")


class Clock:
    """Tells the time.

    ahead: seconds by which this one is ahead of the others; nothing but tests sets it.
    """

    __slots__ = ("ahead",)

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        """As time.monotonic()."""
        return time.monotonic() + self.ahead

    def second(self) -> int:
        """As int(time.time())."""
        return int(time.time()) + int(self.ahead)


CLOCK = Clock()  # the engine's


class Mutex:
    """As threading.Lock(), a good deal quicker to get while nobody has it."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def acquire(self, blocking: bool = True, timeout: float = -1.0) -> bool:
        """Take it; False if that could not be done: at once, or within `timeout` seconds."""
        return self._lock.acquire(blocking, timeout)

    def release(self) -> None:
        """Let go of it. RuntimeError if nobody has it."""
        self._lock.release()

    def locked(self) -> bool:
        """Whether somebody has it."""
        return self._lock.locked()

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *details: object) -> None:
        self._lock.release()


class Pool:
    """Things that nobody refers to any more, kept to be used again.

    most: how many are kept, 64 at most.
    """

    def __init__(self, most: int = 8) -> None:
        if not 0 < most <= 64:
            raise ValueError(f"most={most}: allowed are 1 to 64")

    def take(self) -> Any:
        """One of them, just as it was given; None if there is none."""
        return None

    def alone(self, thing: Any, references: int) -> bool:
        """Whether there are no more than so many references to it, the caller's included."""
        return False

    def give(self, thing: Any) -> bool:
        """Keep it, if there is room."""
        return False


class Row:
    """As collections.deque(), for who stands in line; `count` are there."""

    __slots__ = ("_places",)

    def __init__(self) -> None:
        self._places: deque[Any] = deque()

    @property
    def count(self) -> int:
        return len(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def push(self, thing: Any) -> None:
        """Put it behind the last one."""
        self._places.append(thing)

    def pop(self) -> Any:
        """Take the first one. IndexError if there is none."""
        return self._places.popleft()

    def remove(self, thing: Any) -> None:
        """Take it out wherever it stands, if it is there."""
        with contextlib.suppress(ValueError):
            self._places.remove(thing)


class Gate:
    """Lets clients in and out: as a listener's accept(), and os.close() for a socket.

    address: of whom `accept` has let in last, as getpeername tells it; None: it is not known.
    """

    __slots__ = ("address",)

    def __init__(self) -> None:
        self.address: Any = None

    def accept(self, fd: int) -> int:
        """Take a connection from the listening non-blocking socket `fd`; -1 if nobody waits.

        Returns a descriptor in non-blocking mode. Raises OSError as accept(2) does.
        """
        listener = socket.socket(fileno=fd)
        try:
            # An application may have called socket.setdefaulttimeout; gevent's sockets would wait.
            listener.setblocking(False)
            while True:
                try:
                    client, self.address = listener.accept()
                    break
                except BlockingIOError:
                    self.address = None
                    return -1
                except ConnectionAbortedError:
                    continue
        finally:
            listener.detach()
        client.setblocking(False)
        return client.detach()

    def close(self, fd: int) -> None:
        """Close the socket `fd`, which nobody else has. Raises OSError as close(2) does."""
        with contextlib.suppress(ConnectionResetError, InterruptedError):
            os.close(fd)


GATE = Gate()  # the engine's


class Number:
    """A number that processes share: eight bytes of a writable buffer, from `at` on."""

    __slots__ = ("_at", "_memory")

    def __init__(self, memory: memoryview, at: int) -> None:
        if at < 0 or at % 8 or len(memory) - at < _word.size:
            raise ValueError("the number does not fit")
        self._memory = memory
        self._at = at

    def store(self, number: int) -> None:
        """It is this one now."""
        _word.pack_into(self._memory, self._at, number)


class Lane:
    """A thread's part of the scoreboard: its request line, how many it began, when the last one.

    memory: a writable buffer that processes share. at: where the lane begins in it.
    """

    __slots__ = ("_at", "_began", "_memory")

    def __init__(self, memory: memoryview, at: int) -> None:
        if at < 0 or at % 8 or len(memory) - at < _lane.size:
            raise ValueError("the lane does not fit")
        self._memory = memory
        self._at = at
        (_, self._began, _) = _lane.unpack_from(memory, at)

    def begin(self, line: bytes) -> None:
        """A request begins now; `line` is kept as far as there is room."""
        self._began += 1
        _lane.pack_into(self._memory, self._at, line, self._began, time.monotonic_ns())

    def end(self) -> None:
        """Nothing runs in the lane now."""
        _word.pack_into(self._memory, self._at + _lane.size - _word.size, 0)
