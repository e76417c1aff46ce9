"""How a worker shows that it lives: what gunicorn's heartbeat file has become.

There is no file: the heartbeat is a number in shared memory (`scoreboard`), which no slow or full
disk can hold up.
"""

from __future__ import annotations

from cyserve.scoreboard import Scoreboard, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ("WorkerTmp",)


class WorkerTmp:
    """The heartbeat of one worker.

    cfg: ignored, as `worker_tmp_dir` is; worker: whose `slot` it beats in. Without one it has a
    place of its own, which nobody looks at.
    """

    def __init__(self, cfg: Any = None, worker: Any = None) -> None:
        self._worker = worker
        self._own: Slot | None = Scoreboard(1).claim() if worker is None else None

    @property
    def _slot(self) -> Slot:
        slot: Slot = self._worker.slot if self._own is None else self._own
        return slot

    def notify(self) -> None:
        """Tell the master that the worker is alive."""
        self._slot.beat()

    def last_update(self) -> float:
        """Monotonic clock of the last heartbeat in seconds; 0.0 before the first one."""
        return self._slot.heartbeat / 1e9

    def close(self) -> None:
        """Nothing to close; for those who call it."""
