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

    def interrupt(self, runner: Any, exception: type[BaseException]) -> None:
        """Have the exception raised in the runner, once, if that is possible."""

    def withdraw(self, runner: Any) -> None:
        """Called by the runner: an exception that has not been raised yet never will be."""


class ThreadInterrupter:
    """Threads of CPython: an exception is raised where the thread next runs Python code.

    A thread that waits in a system call gets it when the call returns. The main thread's call is
    cut short by a signal. Other interpreters have nothing of the kind: there the request goes on.
    Made in the main thread.
    """

    parallel = True

    def __init__(self) -> None:
        self._main = threading.main_thread().ident
        self._raise_in = _raise_in_thread()
        # SIGURG: ignored by default, and nobody uses it. With a handler it ends a system call.
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

    def interrupt(self, runner: int, exception: type[BaseException]) -> None:
        if self._raise_in is not None:
            self._raise_in(runner, exception)
            if self._signals and runner == self._main:
                signal.pthread_kill(runner, signal.SIGURG)

    def withdraw(self, runner: int) -> None:
        if self._raise_in is not None:
            self._raise_in(runner, None)


def _wake(number: int, frame: FrameType | None) -> None:
    """Does nothing; that it is Python code is enough for the exception to be raised in it."""


def _raise_in_thread() -> Callable[[int, type[BaseException] | None], Any] | None:
    """PyThreadState_SetAsyncExc(thread, exception or None to take it back), if there is one."""
    try:
        import ctypes  # noqa: PLC0415 - only for those who set request_timeout

        function = ctypes.pythonapi.PyThreadState_SetAsyncExc
    except (ImportError, AttributeError):
        return None
    function.argtypes = ctypes.c_ulong, ctypes.py_object
    nothing = ctypes.py_object()  # NULL
    return lambda runner, exception: function(runner, nothing if exception is None else exception)
