"""Scoreboard: what each worker is doing, in memory that master and workers share.

Anonymous shared mappings are made before a fork; every worker owns one slot of one mapping.
A worker stores into its own slot, the master reads: plain stores of machine words, no locks,
no system calls, no disk. Each lane (one per thread of a worker) has its own start time, line
and count, so that threads never write the same word. A line may be torn when it is read in the
very moment of its change; that is good enough for a log line and nothing here decides more.

Nothing in this room knows about processes, signals or settings.
"""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cyserve import _accel

#: States of a slot. STARTING: the application is loaded, the first heartbeat has not come yet.
BOOTING, STARTING, READY, BUSY, DRAINING = range(5)

#: Bytes of the request line that a lane keeps.
LINE_BYTES = 96

# A slot opens with machine words (one cache line), its lanes follow (two cache lines each).
_HEARTBEAT, _PID, _STATE, _CONNECTIONS, _RSS, _OUTDATED = range(6)
_WORD = 8
_HEAD_BYTES = 64
_LANE_BYTES = 128
_LANE = struct.Struct(f"={LINE_BYTES}sQQ")  # line, requests begun, start; start is stored last
_START_AT = LINE_BYTES + _WORD

_SILENCE = 3_000_000_000  # nanoseconds: a worker beats once a second, even an idle one

# Bound once: these run for every request.
_now = time.monotonic_ns


class Serving:
    """What a worker and the cycle of its requests share; it is the process's own.

    alive: it shall go on; nr: requests begun.
    """

    def __init__(self) -> None:
        self.alive = True
        self.nr = 0


class Slot:
    """One worker's place on the scoreboard.

    Written by the worker that owns it, read by the master and by other workers. `lane` is the
    number of the thread that runs the request, from 0.
    """

    __slots__ = (
        "_board",
        "_bytes",
        "_compiled",
        "_connections",
        "_lanes",
        "_offset",
        "_start",
        "_words",
        "lanes",
    )

    def __init__(self, memory: memoryview, lanes: int, board: Sequence[Slot] = ()) -> None:
        self.lanes = lanes
        self._board = board  # all slots that were made so far
        self._bytes = memory
        self._words = memory.cast("Q")
        self._offset = [_HEAD_BYTES + lane * _LANE_BYTES for lane in range(lanes)]
        self._start = [(offset + _START_AT) // _WORD for offset in self._offset]
        self._make_lanes()

    def _make_lanes(self) -> None:
        from cyserve import _accel  # noqa: PLC0415 - the launcher reports a broken build

        self._lanes = [_accel.runtime.Lane(self._bytes, offset) for offset in self._offset]
        self._connections = _accel.runtime.Number(self._bytes, _CONNECTIONS * _WORD)
        self._compiled = _accel.is_compiled  # the kernel; the lanes go with us

    def beat(self) -> None:
        """Store the heartbeat: the monotonic clock in nanoseconds."""
        self._words[0] = _now()

    def begin(self, line: bytes, lane: int = 0) -> None:
        """Store that `lane` starts a request now, with the first bytes of its request line."""
        found = self._lanes[lane]
        found.begin(line)

    def mark(self, head: _accel.RequestHead, lane: int = 0) -> None:
        """The same with the line of a request's head."""
        found = self._lanes[lane]
        if self._compiled:
            good = head
            good.enter(found)
        else:
            head.enter(found)

    def end(self, lane: int = 0) -> None:
        """Store that `lane` is idle again."""
        found = self._lanes[lane]
        found.end()

    def in_progress(self) -> list[tuple[float, str]]:
        """The requests running now, oldest first, as (age in seconds, request line)."""
        now = _now()
        running = []
        for offset in self._offset:
            line, _, start = _LANE.unpack_from(self._bytes, offset)
            if start:
                text = line.rstrip(b"\0").decode("latin-1")
                running.append((max(0.0, (now - start) / 1e9), text))
        running.sort(reverse=True)
        return running

    def is_idle(self) -> bool:
        """Whether its worker could begin another request now."""
        words = self._words
        alive = _now() - words[_HEARTBEAT] < _SILENCE
        return alive and words[_STATE] == READY and not all(words[start] for start in self._start)

    def lightest_peer(self) -> int | None:
        """Fewest connections that another idle worker holds; None if there is no such worker.

        Of the workers whose slots were made before the fork of this one.
        """
        idle = (slot.connections for slot in self._board if slot is not self and slot.is_idle())
        return min(idle, default=None)

    def clear(self) -> None:
        """Forget everything: the slot is as new."""
        self._bytes[:] = bytes(len(self._bytes))
        self._make_lanes()

    @property
    def heartbeat(self) -> int:
        """Monotonic clock of the last beat in nanoseconds; 0 before the first one."""
        return self._words[_HEARTBEAT]

    @property
    def requests(self) -> int:
        """Requests begun in all lanes."""
        return sum(self._words[start - 1] for start in self._start)

    @property
    def pid(self) -> int:
        """Process id of the owner; 0 when there is none yet."""
        return self._words[_PID]

    @pid.setter
    def pid(self, pid: int) -> None:
        self._words[_PID] = pid

    @property
    def state(self) -> int:
        """BOOTING, STARTING, READY, BUSY or DRAINING."""
        return self._words[_STATE]

    @state.setter
    def state(self, state: int) -> None:
        self._words[_STATE] = state

    def count(self, connections: int) -> None:
        """Store how many connections the worker holds open."""
        self._connections.store(connections)

    @property
    def connections(self) -> int:
        """Connections that the worker holds open."""
        return self._words[_CONNECTIONS]

    @connections.setter
    def connections(self, number: int) -> None:
        self.count(number)

    @property
    def rss(self) -> int:
        """Last measured resident memory in bytes."""
        return self._words[_RSS]

    @rss.setter
    def rss(self, size: int) -> None:
        self._words[_RSS] = size

    @property
    def outdated(self) -> int:
        """How often the worker has found that its code has changed; it wants to be replaced."""
        return self._words[_OUTDATED]

    @outdated.setter
    def outdated(self, number: int) -> None:
        self._words[_OUTDATED] = number


class Scoreboard:
    """Hands out slots; grows by whole mappings, which later workers inherit.

    `slots` is the number of slots of one mapping, `lanes` the number of threads of one worker;
    `lanes` may be changed at any time and holds for slots claimed later.
    """

    def __init__(self, slots: int, lanes: int = 1) -> None:
        self.slots = max(1, slots)
        self.lanes = max(1, lanes)
        self._free: list[Slot] = []
        self._all: list[Slot] = []
        self._grow()

    def claim(self) -> Slot:
        """Return a cleared slot. Called by the master, before the fork of the slot's worker."""
        while self._free:
            slot = self._free.pop()
            if slot.lanes == self.lanes:
                return slot
        self._grow()
        return self._free.pop()

    def free(self, slot: Slot) -> None:
        """Take back the slot of a worker that is gone."""
        slot.clear()
        self._free.append(slot)

    def _grow(self) -> None:
        size = _HEAD_BYTES + self.lanes * _LANE_BYTES
        memory = memoryview(mmap.mmap(-1, self.slots * size))
        for at in range(0, self.slots * size, size):
            self._all.append(Slot(memory[at : at + size], self.lanes, self._all))
        self._free.extend(reversed(self._all[-self.slots :]))
