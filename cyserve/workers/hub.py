"""Waiting on gevent's hub: a greenlet sleeps until its descriptor is ready, or a second is over.

One `HubWait` per connection, with watchers that are made once: a wait costs two switches and no
timer, since deadlines are looked at by the worker once a second. Only the gevent worker imports
this room; it knows neither connections nor HTTP.
"""

from __future__ import annotations

import time
from typing import Any

import gevent
from gevent import socket
from gevent.hub import get_hub

READ, WRITE = 1, 4  # the interests of `http.connection`
_LIBEV_READ, _LIBEV_WRITE = 1, 2
_STREAM = int(socket.SOCK_STREAM)
_NEVER = float("inf")

# What a sleeping greenlet is woken with; anything else that switches to it is not meant for it.
_READY = object()
_EXPIRED = object()


class HubWait:
    """Lets the greenlet that makes it wait for one descriptor, again and again.

    fd: the descriptor, non-blocking; waits: the worker's set of all of these, for `expire_overdue`.
    It is a `http.transport.Waiter`, for this descriptor whatever `fd` says.
    """

    __slots__ = (
        "deadline",
        "fd",
        "greenlet",
        "hub",
        "interest",
        "reader",
        "waits",
        "wake",
        "writer",
    )

    def __init__(self, fd: int, waits: set[HubWait]) -> None:
        self.fd = fd
        self.hub: Any = get_hub()
        self.greenlet: Any = gevent.getcurrent()
        self.wake = self.greenlet.switch
        self.reader: Any = self.hub.loop.io(fd, _LIBEV_READ)
        self.writer: Any = None
        # While somebody waits: for what, and until when (monotonic seconds).
        self.interest = 0
        self.deadline = _NEVER
        self.waits = waits
        waits.add(self)

    def until(self, interest: int, deadline: float) -> bool:
        """Sleep until the descriptor is ready; False if the deadline (monotonic) was first."""
        watcher = self.reader
        if interest != READ:
            if self.writer is None:
                self.writer = self.hub.loop.io(self.fd, _LIBEV_WRITE)
            watcher = self.writer
        self.interest = interest
        self.deadline = deadline
        watcher.start(self.wake, _READY)
        try:
            while True:
                woken = self.hub.switch()
                if woken is _READY:
                    return True
                if woken is _EXPIRED:
                    return False
        finally:
            watcher.stop()
            self.interest = 0
            self.deadline = _NEVER

    def readable(self, fd: int, seconds: float) -> bool:
        return self._within(READ, seconds)

    def writable(self, fd: int, seconds: float) -> bool:
        return self._within(WRITE, seconds)

    def _within(self, interest: int, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        if gevent.getcurrent() is self.greenlet:
            return self.until(interest, deadline)
        # The application reads or writes in a greenlet of its own, maybe both at once.
        other = HubWait(self.fd, self.waits)
        try:
            return other.until(interest, deadline)
        finally:
            other.close()

    def hurry(self, deadline: float) -> None:
        """Let one who waits for bytes wait no longer than this."""
        if self.interest == READ and deadline < self.deadline:
            self.deadline = deadline

    def expire(self, now: float) -> None:
        """Wake the greenlet if its deadline has still passed; called by the hub."""
        if self.deadline <= now:
            self.wake(_EXPIRED)

    def close(self) -> None:
        """Let go of the descriptor; before it is closed."""
        self.waits.discard(self)
        self.reader.close()
        if self.writer is not None:
            self.writer.close()


class HubSocket(socket.socket):
    """A client's socket as the application gets it: it looks blocking, its descriptor is not.

    When the application closes it, its number may be another client's at once; so the transport is
    told first.
    """

    __slots__ = ("transport",)

    def __init__(self, family: int, fd: int) -> None:
        super().__init__(family, _STREAM, 0, fd)
        self.settimeout(None)  # an application may have called socket.setdefaulttimeout
        self.transport: Any = None

    def close(self) -> None:
        self._tell()
        super().close()

    def detach(self) -> int:
        self._tell()
        return int(super().detach())

    def _tell(self) -> None:
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.release()


def expire_overdue(waits: set[HubWait]) -> None:
    """Wake those whose deadline has passed; each is asked again when its turn comes."""
    now = time.monotonic()
    for wait in waits:
        if wait.deadline <= now:
            wait.hub.loop.run_callback(wait.expire, now)
