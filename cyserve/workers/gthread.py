"""The gthread worker: several requests at a time in threads, connections kept alive.

Each of `threads` threads takes a connection whose request is complete and runs it to its end
(`turns` says who does when); no request is handed from one thread to another. The main thread
keeps: signals, heartbeats, deadlines, the end. So an application may take as long as it likes.
"""

import os
import select
import threading
import time
from typing import Any

from cyserve.http.connection import READ, Connection
from cyserve.http.cycle import Cycle
from cyserve.http.request import Request
from cyserve.http.transport import PollWaiter
from cyserve.workers.base import Worker
from cyserve.workers.connection_loop import TICK, ConnectionLoop, empty
from cyserve.workers.turns import NAP, PARK, PAUSE, WAIT, Turns

DRAIN_TICK = 0.02  # seconds between looks whether the last request has ended

LONG_POLL = 60.0  # seconds of one poll(2) of a thread that waits for its client

_FOREVER = float("inf")


class ThreadWorker(Worker):
    """Runs the application in threads.

    `tpool` is the executor that `get_thread_pool` returned, `lock` guards loop and turns.
    """

    tpool: Any = None

    def get_thread_pool(self) -> Any:
        """Where the threads come from.

        A subclass may return an executor with room for `threads` tasks; None stands for plain
        threads, which end with the process whatever they do.
        """
        return None

    def run(self) -> None:
        self.threads = max(1, self.cfg.threads)
        self.cycle = Cycle(self, keep_alive=self.cfg.keepalive > 0)
        # The main thread shows life, so a thread may wait in one go.
        self.loop = ConnectionLoop(self, PollWaiter(_nothing, LONG_POLL), multithread=True)
        self.poller = self.loop.poller
        self.turns = Turns(self.threads)
        self.lock = threading.Lock()
        self.wanted = threading.Condition(self.lock)  # parked threads wait for it
        self.summons = False  # the main thread waits for the lock
        self.stopping = False
        self.left = self.threads  # threads that have not ended
        self.loop.wake_fd, self.wake_write = os.pipe()
        self.poller.register(self.loop.wake_fd, READ)
        self.loop.resume_accepting()
        self.tpool = self.get_thread_pool()
        for number in range(self.threads):
            self._start_thread(number)
        try:
            self._keep()
        finally:
            self._end_threads()

    def _start_thread(self, number: int) -> None:
        if self.tpool is not None:
            self.tpool.submit(self.take_turns, number)
        else:
            threading.Thread(
                target=self.take_turns, args=(number,), name=f"request_{number}", daemon=True
            ).start()

    # -- the main thread --

    def _keep(self) -> None:
        """Do everything but requests, until the worker is to stop and has come to its end."""
        loop = self.loop
        tick = min(TICK, self.timeout or TICK)
        signals = select.poll()
        signals.register(self.PIPE[0], select.POLLIN)
        while True:
            self.summons = True  # a busy thread would not let go of the lock for long enough
            with self.lock:
                self.summons = False
                loop.tick()
                if not self.alive and not loop.draining():
                    return
                if loop.ready:  # by what the tick has found, or in a pipeline behind a slow request
                    self._nudge()
            # Once it drains its last answer may come at any time.
            signals.poll((tick if self.alive else DRAIN_TICK) * 1000)
            empty(self.PIPE[0])

    def _nudge(self) -> None:
        """Wake a thread, however it sleeps."""
        self.poller.called = True
        os.write(self.wake_write, b".")
        self.wanted.notify()

    def _end_threads(self) -> None:
        """Send the threads home; one that is held up in the application is left behind."""
        with self.lock:
            self.stopping = True
            self.loop.stop_at = 0.0
            self.loop.give_up()
            os.write(self.wake_write, b".")
            self.wanted.notify_all()
            self.wanted.wait_for(lambda: not self.left, 0.0 if self.loop.connections else 1.0)
            if not self.left:
                self.loop.close()

    # -- the threads --

    def take_turns(self, thread: int) -> None:
        """What each thread does until the worker has come to its end."""
        with self.lock:
            try:
                while self._sleep(thread):
                    if self.turns.wake(thread, self.loop.now):
                        self.wanted.notify()
                    self.poller.active = self.turns.active
                    self._serve(thread)
            finally:
                self.left -= 1
                self.wanted.notify_all()

    def _sleep(self, thread: int) -> bool:
        """Sleep, in whatever role, until there is something to do; False: the end has come."""
        turns, poller, lock = self.turns, self.poller, self.lock
        while not self.stopping:
            role = turns.rest(thread, time.monotonic())
            poller.active = turns.active
            if role == PARK:
                self.wanted.wait()
                continue
            found: list[int] = []
            called = False
            lock.release()
            try:
                if role == WAIT:
                    found = poller.wait(_FOREVER)
                else:
                    called = poller.watch(NAP)
            finally:
                lock.acquire()
            turns.contended = poller.contended
            if found:
                self.loop.arrived(found)
            if found or called:
                poller.called = False
                return not self.stopping
        return False

    def _serve(self, thread: int) -> None:
        """Run what is ready until nothing is, or until this thread is one too many."""
        loop, turns, poller, lock = self.loop, self.turns, self.poller, self.lock
        while (connection := loop.next()) is not None:
            connection.lane = thread
            poller.progress += 1
            poller.waiting = len(loop.ready) + len(loop.arrivals)
            turns.enter(thread, loop.now)
            lock.release()
            try:
                self.handle(connection)
            finally:
                lock.acquire()
            poller.progress += 1
            loop.answered(connection)
            long = turns.leave(thread, loop.now)
            if loop.ready and turns.wants_help(long):
                poller.called = True
            if turns.superfluous(thread, loop.now):
                return
            if self.summons or turns.must_pause(thread, loop.now):
                lock.release()
                poller.pause(PAUSE)
                lock.acquire()
                turns.contended = poller.contended
        poller.waiting = 0  # else the guard would see what is no longer there

    def handle(self, conn: Connection) -> None:
        """Run the complete request of a connection."""
        assert conn.request is not None
        try:
            self.handle_request(conn.request, conn)
        except Exception:  # from a subclass: the thread must live on
            self.log.exception("Exception while handling a request")
            conn.abandon()
        if not self.alive:  # its last one: the main thread shall know
            os.write(self.PIPE[1], b".")

    def handle_request(self, req: Request, conn: Connection) -> None:
        """Run one request; the place that instrumentation wraps."""
        self.cycle.run(req)


def _nothing() -> None:
    """A thread that waits for a client has nobody to tell."""
