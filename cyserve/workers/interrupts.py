"""How a thread that runs an overdue request is found, looked at and interrupted.

The watch (`request_watch`) decides when; it holds off the end of the request while it calls these
methods, so nothing here has to care which request the thread is in. Another kind of worker gives
the watch another class with these methods.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

from cyserve.http.overdue import RequestOverdue


class Interrupter(Protocol):
    """What the watch wants to know of whoever runs a request (thread, greenlet): its runner."""

    #: Whether a runner goes on running while the watch acts.
    parallel: bool

    def current(self) -> Any:
        """The runner that calls."""

    def describe(self, runner: Any) -> str:
        """Kind and name for a log line."""

    def frame(self, runner: Any) -> FrameType | None:
        """Where the runner is now, if that can be known."""

    def alone(self, runner: Any) -> bool:
        """Whether the worker can do nothing else while this runner does not come to an end."""

    def interrupt(self, runner: Any) -> None:
        """Have RequestOverdue raised in the runner, once, if that is possible."""

    def withdraw(self, runner: Any) -> None:
        """Called by the runner: if it has not been raised yet it will not be raised any more."""


class ThreadInterrupter:
    """Threads of CPython: an exception is raised where the thread next runs Python code.

    A thread that waits in a system call gets it when the call returns; a signal cuts the call
    short if it is the main thread's, or waits for the client. Other interpreters raise nothing:
    there the request goes on. Made in the main thread.
    """

    parallel = True

    def __init__(self) -> None:
        self._main = threading.main_thread().ident
        self._raise_in = _raise_in_thread()
        # SIGURG: ignored by default, and nobody uses it. With a handler it ends a system call,
        # which the main thread then leaves and others begin anew, with a descriptor that is dead.
        self._signals = signal.getsignal(signal.SIGURG) == signal.SIG_DFL
        if self._signals:
            signal.signal(signal.SIGURG, _wake)

    def current(self) -> int:
        return threading.get_ident()

    def describe(self, runner: int) -> str:
        names = [thread.name for thread in threading.enumerate() if thread.ident == runner]
        return f"thread:{names[0] if names else runner}"

    def frame(self, runner: int) -> FrameType | None:
        return sys._current_frames().get(runner)

    def alone(self, runner: int) -> bool:
        return runner == self._main

    def interrupt(self, runner: int) -> None:
        if self._raise_in is not None:
            self._raise_in(runner, RequestOverdue)
        if self._signals:
            signal.pthread_kill(runner, signal.SIGURG)

    def withdraw(self, runner: int) -> None:
        # Taken out here rather than taken back: that leaves CPython before 3.13 looking for an
        # exception after each call and each turn of a loop, for ever (1.5 times slower in 3.12).
        try:
            for _ in range(3):
                _wake(signal.SIGURG, None)
        except RequestOverdue:
            pass


def _wake(number: int, frame: FrameType | None) -> None:
    """Does nothing: that it is Python code is enough for an exception to be raised in it."""


def _raise_in_thread() -> Callable[[int, type[BaseException]], Any] | None:
    """PyThreadState_SetAsyncExc(thread, exception), if there is one."""
    try:
        import ctypes  # noqa: PLC0415 - only for those who set request_timeout

        function = ctypes.pythonapi.PyThreadState_SetAsyncExc
    except (ImportError, AttributeError):
        return None
    function.argtypes = ctypes.c_ulong, ctypes.py_object
    return function
