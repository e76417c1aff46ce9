"""The master's view of its workers: what it did to each, what each said, how each ended.

One `Child` stands for one forked worker. The texts of a death are made here, with what the
scoreboard knows of the request that was running. Nothing here forks, kills or waits.
"""

from __future__ import annotations

import logging
import os
import signal
import time

from cyserve.scoreboard import READY, STARTING, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Seconds between the signal that asks for stacks and the one that cannot be refused.
ABORT_GRACE = 1.0

#: A worker that dies younger than this, without a request, counts as one that did not boot.
_INFANCY = 1.0

#: Seconds after which a worker that runs but never shows life is taken for one that never will:
#: there are worker classes like that.
_PATIENCE = 60.0

_MAX_DELAY = 30.0


class Child:
    """One forked worker."""

    def __init__(self, worker: Any, pid: int, generation: int) -> None:
        self.worker = worker
        self.pid = pid
        self.generation = generation
        self.slot: Slot = worker.slot
        self.born = time.monotonic()
        #: Monotonic clock from which on a retired child is killed; None while it is wanted.
        self.kill_at: float | None = None
        #: Monotonic clock at which SIGABRT was sent.
        self.aborted_at: float | None = None
        #: Why the master itself sent SIGKILL; empty if it did not.
        self.killed = ""
        #: Of the changes of its code that it has noticed, those that the master has acted upon.
        self.changes_seen = 0

    @property
    def outdated(self) -> bool:
        """Whether the worker has noticed a change of its code that was not acted upon yet."""
        return self.slot.outdated != self.changes_seen

    @property
    def ready(self) -> bool:
        """Whether the worker has begun to serve; a heartbeat is enough to say so."""
        if self.slot.state >= READY or self.slot.heartbeat > 0:
            return True
        return self.slot.state == STARTING and time.monotonic() - self.born > _PATIENCE

    @property
    def wanted(self) -> bool:
        """Whether the master has not told this child to leave."""
        return self.kill_at is None

    def stillborn(self, status: int) -> bool:
        """Of a child that ended with the wait status: whether it never got to work."""
        if not self.wanted:
            return False
        if not self.ready:
            return True
        age = time.monotonic() - self.born
        return status != 0 and age < _INFANCY and not self.slot.requests

    def overdue(self, now: float, timeout: float, boot_timeout: float) -> str:
        """Why the worker must be ended, as text to append to a log line; empty if it is well.

        Before it is ready only `boot_timeout` counts, afterwards only `timeout`, both in seconds,
        0 for no limit.
        """
        if not self.ready:
            if boot_timeout and now - self.born > boot_timeout:
                return f" It did not get ready within boot_timeout ({boot_timeout:g} s)."
            return ""
        silent = now - self.slot.heartbeat / 1e9
        if timeout and self.slot.heartbeat and silent > timeout:
            return self.doing() or f" Silent for {silent:.1f} s, no request is known."
        return ""

    def doing(self) -> str:
        """What the worker is, or was, running: text to append to a log line, or nothing."""
        running = self.slot.in_progress()
        if not running:
            return ""
        texts = [f"{line!r} for {age:.1f} s" for age, line in running]
        return " Running: " + ", ".join(texts) + "."

    def obituary(self, status: int) -> tuple[int, str]:
        """Log level and text for the end of this child, from its wait status.

        Level logging.NOTSET: nothing needs to be said.
        """
        if os.WIFSIGNALED(status):
            return self._signalled(os.WTERMSIG(status))
        code = os.waitstatus_to_exitcode(status)
        if code != 0:
            text = f"Worker (pid:{self.pid}) exited with code {code}.{self.doing()}"
            return logging.ERROR, text
        if self.wanted and not self.ready:
            return logging.ERROR, f"Worker (pid:{self.pid}) exited with code 0 before it was ready."
        return logging.NOTSET, ""

    def _signalled(self, number: int) -> tuple[int, str]:
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        text = f"Worker (pid:{self.pid}) was sent {name}!"
        if self.killed:
            return logging.WARNING, f"{text} By the master: {self.killed}.{self.doing()}"
        if number == signal.SIGKILL:
            return logging.ERROR, f"{text} Perhaps out of memory?{self.doing()}"
        level = logging.INFO if number == signal.SIGTERM else logging.WARNING
        return level, text + self.doing()


class BackOff:
    """How long to wait before the next fork when workers keep dying at birth: 1, 2, 4 ... 30 s."""

    def __init__(self) -> None:
        #: Monotonic clock before which no worker is started.
        self.until = 0.0
        self.delay = 0.0
        self._failed_at = 0.0

    def failed(self, now: float) -> bool:
        """Note a stillborn worker; true if this began a new wait.

        Siblings that die in the same wait count as one.
        """
        self._failed_at = now
        if now < self.until:
            return False
        self.delay = min(max(1.0, self.delay * 2), _MAX_DELAY)
        self.until = now + self.delay
        return True

    def good(self, born: float, now: float) -> None:
        """Note a worker that is ready: if it started after the last failure, all is well."""
        if self.delay and born > self._failed_at and now - born >= _INFANCY:
            self.clear()

    def clear(self) -> None:
        """Start again without waiting."""
        self.until = self.delay = 0.0
