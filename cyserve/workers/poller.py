"""Readiness of many descriptors: epoll where there is one, else what `selectors` offers.

Two classes with the same methods; `Poller` is the one for this platform. Listeners shared by
several processes are registered exclusively, so that one connection wakes one idle worker.
"""

import select
import selectors

#: Interests, and the bits of a reported event.
READ = 1
WRITE = 4


class EpollPoller:
    """Level-triggered epoll(7)."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self.modify = self._epoll.modify
        self.unregister = self._epoll.unregister

    def register(self, fd: int, interest: int) -> None:
        self._epoll.register(fd, interest)

    def register_listener(self, fd: int) -> None:
        """Watch a listener that other processes watch too (EPOLLEXCLUSIVE)."""
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)

    def requeue_listener(self, fd: int) -> None:
        """Go to the end of the line: the kernel wakes whoever has waited for the listener longest.

        Without this the same idle worker would get every connection.
        """
        self._epoll.unregister(fd)
        self.register_listener(fd)

    def poll(self, seconds: float) -> list[tuple[int, int]]:
        """Wait at most that long; [(descriptor, events)]. Early and empty after a signal."""
        return self._epoll.poll(seconds)

    def close(self) -> None:
        self._epoll.close()


class SelectorPoller:
    """The same over kqueue, poll or select."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    @staticmethod
    def _mask(interest: int) -> int:
        return selectors.EVENT_READ if interest == READ else selectors.EVENT_WRITE

    def register(self, fd: int, interest: int) -> None:
        self._selector.register(fd, self._mask(interest))

    def register_listener(self, fd: int) -> None:
        self.register(fd, READ)

    def requeue_listener(self, fd: int) -> None:
        """Nothing to do: there is no line."""

    def modify(self, fd: int, interest: int) -> None:
        self._selector.modify(fd, self._mask(interest))

    def unregister(self, fd: int) -> None:
        self._selector.unregister(fd)

    def poll(self, seconds: float) -> list[tuple[int, int]]:
        return [
            (key.fd, READ if mask & selectors.EVENT_READ else WRITE)
            for key, mask in self._selector.select(seconds)
        ]

    def close(self) -> None:
        self._selector.close()


Poller = EpollPoller if hasattr(select, "epoll") else SelectorPoller
