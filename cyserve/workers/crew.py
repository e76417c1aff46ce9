"""What a thread of the gthread worker does while there is something to do; all of it per request.

`turns` has the rules, `connection_loop` the connections, the worker the threads. A crew only goes
through what is ready, one request after the other. It may not sleep, and holds the worker's lock
but while the application runs: loop, turns and poller belong to whoever has it.
"""

from __future__ import annotations

from time import monotonic

from cyserve.http.connection import Connection
from cyserve.http.cycle import Cycle
from cyserve.workers.connection_loop import ConnectionLoop
from cyserve.workers.turns import PAUSE, Turns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cyserve import _accel


class Crew:
    """The threads of one worker, at work.

    worker: a `gthread.ThreadWorker` that has loop, turns, cycle and lock. plain: its `handle` does
    what it was written for, so that the crew can do just that without calling it.
    """

    def __init__(self, worker: Any, *, plain: bool) -> None:
        self.worker = worker
        self.lock: _accel.Mutex = worker.lock
        self.loop: ConnectionLoop = worker.loop
        self.turns: Turns = worker.turns
        self.poller: _accel.Poller = worker.poller
        self.cycle: Cycle | None = worker.cycle if plain else None
        self.handle = worker.handle
        self.stopping = False

    def serve(self, thread: int) -> None:
        """Run what is ready until nothing is, or until this thread is one too many."""
        loop = self.loop
        turns = self.turns
        poller = self.poller
        while not self.stopping:
            connection = loop.next()
            if connection is not None:
                several = len(turns.role) > 1  # else nobody stands guard, and nobody is in the way
                if several:
                    poller.waiting = len(loop.ready) + len(loop.arrivals)
                connection.lane = turns.enter(thread, loop.now)
                self.run(connection)
                long = turns.leave(thread, loop.now)
                if several:
                    poller.note(len(loop.ready) + len(loop.arrivals))
                    if long and loop.ready:
                        poller.called = True
                    if turns.active > 1 and turns.superfluous(thread, loop.now):
                        return
            elif loop.due:
                break
            if not loop.due or turns.must_pause(thread, loop.now):
                self.lock.release()
                poller.pause(PAUSE)
                self.lock.acquire()
                turns.paused(thread, monotonic(), poller.contended)

    def run(self, connection: Connection) -> None:
        """Run a request while other threads may have the lock."""
        cycle = self.cycle
        self.lock.release()
        try:
            if cycle is None:
                self.handle(connection)
            else:
                assert connection.request is not None
                cycle.run(connection.request)
        except BaseException as exc:  # a subclass has failed: the thread must live on
            self.worker.failed(connection, exc)
        finally:
            self.lock.acquire()
        last = not connection.keep
        self.loop.answered(connection)
        if last and not self.worker.alive:  # its last one: the main thread shall know
            self.worker.left()
