"""Readiness of many descriptors: the pure-Python twin of `_poll`, and all there is without epoll.

It knows descriptors only: no connections, no HTTP, no settings, no locks. Over epoll where there is
one, else over what `selectors` offers (kqueue, poll). Change both twins or neither.
"""

import errno
import os
import select
import selectors
import time

__all__ = ("Poller",)

_LOOK = 0.02  # seconds between looks while threads are active
_IDLE_LOOK = 0.5  # the same while none is, where idle threads would not notice anything
_LONG_NAP = 0.002  # seconds for threads that cope
_NEWS, _WRITE = 2, 4


class _Epoll:
    """select.epoll, which speaks of interests as we do."""

    def __init__(self) -> None:
        epoll = self._epoll = select.epoll()
        self.unregister, self.fileno, self.close = epoll.unregister, epoll.fileno, epoll.close

    def register(self, fd: int, interest: int) -> None:
        self._epoll.register(fd, _events(interest))

    def modify(self, fd: int, interest: int) -> None:
        self._epoll.modify(fd, _events(interest))

    def register_listener(self, fd: int) -> None:
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)

    def poll(self, seconds: float | None) -> list[int]:
        found = self._epoll.poll(seconds, 64)
        last = [fd for fd, events in found if events & select.EPOLLRDHUP]
        return [fd for fd, _ in found] + last


class _Selector:
    """kqueue, poll or select."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.close = self._selector.close
        self.fileno = getattr(self._selector, "fileno", None)  # kqueue has one

    def register(self, fd: int, interest: int) -> None:
        if fd in self._selector.get_map():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        self._selector.register(fd, _mask(interest))

    def register_listener(self, fd: int) -> None:
        self.register(fd, 1)

    def modify(self, fd: int, interest: int) -> None:
        self._check(fd)
        self._selector.modify(fd, _mask(interest))

    def unregister(self, fd: int) -> None:
        self._check(fd)
        self._selector.unregister(fd)

    def _check(self, fd: int) -> None:
        if fd not in self._selector.get_map():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def poll(self, seconds: float | None) -> list[int]:
        return [key.fd for key, _ in self._selector.select(seconds)]


def _events(interest: int) -> int:
    news = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
    return news if interest == _NEWS else interest


def _mask(interest: int) -> int:
    return selectors.EVENT_WRITE if interest == _WRITE else selectors.EVENT_READ


class Poller:
    """Which of the registered descriptors are ready.

    Interests are READ (1) and WRITE (4), level-triggered: a descriptor is reported as long as it
    is ready. NEWS (2) is READ told once, edge-triggered: whoever has been told reads until a read
    brings less than was asked for. What is the last, since the peer has ended its stream, is
    listed twice: such a read does not show the end. Without `edge` NEWS is the same as READ.

    Besides waiting itself it lets a second thread stand guard over the first, see `watch`; for
    that the threads keep three numbers here.
    """

    def __init__(self) -> None:
        self.edge = hasattr(select, "epoll")
        self._watched: _Epoll | _Selector = _Epoll() if self.edge else _Selector()
        self.progress = 0  # counts what the threads get done
        self.waiting = 0  # connections taken from here and not yet looked at
        self.active = 0  # threads that are at work
        self.called = False  # whoever is on guard is wanted
        # Nobody can tell here who waits for the GIL, and for how long.
        self.coming = 0
        self.contended = False

    def register(self, fd: int, interest: int) -> None:
        """Watch a descriptor. Raises OSError as epoll_ctl(2) does."""
        self._watched.register(fd, interest)

    def modify(self, fd: int, interest: int) -> None:
        """Watch it for something else. Raises OSError."""
        self._watched.modify(fd, interest)

    def unregister(self, fd: int) -> None:
        """Watch it no more. Raises OSError."""
        self._watched.unregister(fd)

    def register_listener(self, fd: int) -> None:
        """Watch a listener that other processes watch too: one connection wakes one of them."""
        self._watched.register_listener(fd)

    def requeue_listener(self, fd: int) -> None:
        """Go to the end of the line: the kernel wakes whoever has waited for the listener longest.

        Without this the same idle worker would get every connection.
        """
        self.unregister(fd)
        self.register_listener(fd)

    def note(self, waiting: int) -> None:
        """For the guard: something has got done, and so many connections are to be looked at."""
        self.progress += 1
        self.waiting = waiting

    def take(self) -> list[int]:
        """The descriptors that are ready now, some of them if they are many."""
        return self._watched.poll(0)

    def wait(self, seconds: float) -> list[int]:
        """Wait until some are ready, at most that long; early and empty after a signal."""
        return self._watched.poll(None if seconds > 2e6 else max(0.0, seconds))

    def watch(self, nap: float) -> bool:
        """Stand guard: return when something is ready and nobody gets anything done.

        nap: seconds that the active threads are given at first; they get more while they cope, or
        while one of them is on its way here. 0: none, unless they were idle.
        True: help is wanted. False: look at the state of things and come back.
        """
        rest = nap or _LONG_NAP
        while True:
            hurry = self.active and not nap
            if not self.waiting and not self._readable(_LOOK if self.active else None):
                return False
            seen = self.progress
            if self.coming or not hurry:
                hurry = False
                time.sleep(rest)
            if self.coming or not (hurry or self.called or seen == self.progress):
                rest = max(nap, _LONG_NAP)
            elif hurry or self.called or self.waiting or self._readable(0):
                return True
            else:
                rest = nap or _LONG_NAP

    def _readable(self, seconds: float | None) -> bool:
        """Whether something is ready, within that time; takes nothing."""
        if self._watched.fileno is None:  # cannot be seen without taking it
            time.sleep(_IDLE_LOOK if seconds is None else seconds)
            return True
        poll = select.poll()
        poll.register(self._watched.fileno(), select.POLLIN)
        return bool(poll.poll(None if seconds is None else seconds * 1000))

    def pause(self, seconds: float) -> None:
        """Let another thread have the GIL, if one wants it."""
        time.sleep(seconds)

    def close(self) -> None:
        """Give the descriptor back. Nobody may be waiting."""
        self._watched.close()
