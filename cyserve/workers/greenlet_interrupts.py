"""How a greenlet that runs an overdue request is found, looked at and interrupted.

The counterpart of `interrupts` for workers on gevent, the only ones that import this room. The
watch is a greenlet itself there: it comes to its turn only when the others let it, so a greenlet
that computes without end is the affair of `timeout`.
"""

from __future__ import annotations

from types import FrameType
from typing import Any

import gevent
from gevent.hub import get_hub

from cyserve.http.overdue import RequestOverdue


class GreenletInterrupter:
    """An `interrupts.Interrupter` for greenlets of the current hub."""

    parallel = False

    def __init__(self) -> None:
        self._hub: Any = get_hub()
        self._pending: dict[Any, Any] = {}  # runner -> the hub's callback that will raise

    def current(self) -> Any:
        return gevent.getcurrent()

    def describe(self, runner: Any) -> str:
        return f"greenlet:{getattr(runner, 'name', hex(id(runner)))}"

    def frame(self, runner: Any) -> FrameType | None:
        frame: FrameType | None = runner.gr_frame
        return frame

    def alone(self, runner: Any) -> bool:
        return False

    def interrupt(self, runner: Any) -> None:
        # By the hub: whoever throws is switched back to, and the watch has more to do.
        self._pending[runner] = self._hub.loop.run_callback(runner.throw, RequestOverdue)

    def withdraw(self, runner: Any) -> None:
        callback = self._pending.pop(runner, None)
        if callback is not None:
            callback.stop()
