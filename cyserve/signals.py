"""Signals of the master: a queue, something to sleep on, and a fork that loses none.

Handlers only put the signal into the queue and wake the loop; the work is done by the loop, in
the order of arrival. Forks happen with signals held back, so that none is delivered to a child
that still has its parent's handlers. What a signal means is the arbiter's affair, not this
room's.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from types import FrameType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

#: Signals that the master acts upon; CHLD comes on top.
SIGNALS: list[signal.Signals] = [
    signal.Signals[f"SIG{name}"]
    for name in ("HUP", "QUIT", "INT", "TERM", "TTIN", "TTOU", "USR1", "USR2", "WINCH")
]

#: Signal number -> lower-case name, as in `handle_hup`.
SIG_NAMES: dict[int, str] = {sig: sig.name[3:].lower() for sig in signal.Signals}
SIG_NAMES[signal.SIGCHLD] = "chld"

#: What ends a fresh child before its worker has said what it wants.
_FATAL = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT, signal.SIGCHLD)

Handler = Callable[[int, FrameType | None], object]


class SignalQueue:
    """Signals waiting for the master's loop, first come first served.

    A run of SIGCHLD counts as one: one look reaps every dead child.
    """

    def __init__(self) -> None:
        self.pending: deque[int] = deque()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def install(self, handler: Handler) -> None:
        """Let `handler` receive the master's signals, and every signal wake `wait`."""
        for sig in (*SIGNALS, signal.SIGCHLD):
            signal.signal(sig, handler)
        # The byte is written below Python: no signal slips in between a check and the sleep.
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)

    def put(self, sig: int) -> None:
        """Queue `sig` and wake `wait`. Safe in a signal handler."""
        if sig != signal.SIGCHLD or sig not in self.pending:
            self.pending.append(sig)
        self.wake()

    def wake(self) -> None:
        """End the current or the next `wait` at once."""
        try:
            self._writer.send(b".")
        except OSError:
            pass  # full, hence awake already; or closed

    def wait(self, timeout: float) -> None:
        """Sleep until a signal is queued, at most `timeout` seconds."""
        if self.pending:
            timeout = 0.0
        select.select([self._reader], [], [], max(0.0, timeout))
        try:
            while self._reader.recv(4096):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Stop waking anybody: this process is not the master any more, or not for long."""
        signal.set_wakeup_fd(-1)
        self._reader.close()
        self._writer.close()


def fork() -> int:
    """Fork; return the child's pid in the parent and 0 in the child. Raises OSError.

    Signals are held back meanwhile, and the child starts with neutral handlers: one that ends
    the process ends it, every other one (a `pkill -HUP` meant for the master) does nothing.
    """
    held = signal.pthread_sigmask(signal.SIG_BLOCK, [*SIGNALS, signal.SIGCHLD])
    try:
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            for sig in (*SIGNALS, *_FATAL):
                # Not SIG_IGN: programs that the application starts would inherit that.
                signal.signal(sig, signal.SIG_DFL if sig in _FATAL else _do_nothing)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def try_in_child(function: Callable[[Any], object], argument: Any) -> str:
    """Call `function` in a process of its own and return what it raised, as text; empty: nothing.

    For what would leave traces in the master: modules, secrets. Raises OSError if fork does.
    """
    reader, writer = os.pipe()
    try:
        pid = fork()
        if pid == 0:
            _report(function, argument, writer)
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    with open(reader, "rb") as pipe:
        complaint = pipe.read().decode("utf-8", "replace")
    os.waitpid(pid, 0)
    return complaint


def _report(function: Callable[[Any], object], argument: Any, writer: int) -> NoReturn:
    try:
        function(argument)
    except BaseException as error:
        text = str(error) or type(error).__name__
        os.write(writer, text.encode("utf-8", "backslashreplace"))
    finally:
        os._exit(0)


def expect_the_end() -> None:
    """Do nothing any more about what a master sends; for a worker that is leaving anyway.

    Another stop would break off what is left to do. Ctrl-C still does, lest a thread that hangs
    is waited for.
    """
    for sig in SIGNALS:
        signal.signal(sig, _break_off if sig == signal.SIGINT else _do_nothing)


def ignore() -> None:
    """Ignore all signals; for a worker, as the last exit function.

    The interpreter's end would set those that have a handler to what ends the process, and the log
    would speak of a worker that was killed.
    """
    for sig in SIGNALS:
        signal.signal(sig, signal.SIG_IGN)


def _do_nothing(sig: int, frame: FrameType | None) -> None:
    return None


def _break_off(sig: int, frame: FrameType | None) -> NoReturn:
    sys.exit(0)
