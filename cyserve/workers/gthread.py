"""The gthread worker: several requests at a time in threads, connections kept alive.

Each of `threads` threads takes a connection whose request is complete and runs it to its end
(`turns` says who does when); no request is handed from one thread to another. The main thread
keeps: signals, heartbeats, deadlines, the end. So an application may take as long as it likes.
Loop and turns belong to whoever holds `lock`; the application runs without it. HTTP is not here.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections import deque
from functools import partial

from cyserve import _accel, process
from cyserve.access_writer import MANY
from cyserve.http.connection import READ, Connection
from cyserve.http.cycle import Cycle, known
from cyserve.http.postponed import MOMENT, Postponed
from cyserve.http.request import Request
from cyserve.http.transport import PollWaiter
from cyserve.workers.base import Worker, empty, is_as_written
from cyserve.workers.connection_loop import LOST, RUNNING, TICK, ConnectionLoop
from cyserve.workers.crew import Crew
from cyserve.workers.turns import NAP, PARK, WAIT, Turns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HELD = 0.05  # seconds for which an access line may wait to be written, in a worker with many
DRAIN_TICK = 0.02  # seconds between looks whether the last request has ended
LEAVE_SECONDS = 1.0  # for threads that are not in the application to go home
LONG_POLL = 60.0  # seconds of one poll(2) of a thread that waits for its client

_FOREVER = float("inf")

#: What gunicorn calls the connection that `handle_request` gets; it has the same attributes.
TConn = Connection


class ThreadWorker(Worker):
    """Runs the application in threads.

    Made for subclasses: `get_thread_pool`, `handle_request`, and what every worker has. What
    gunicorn's does step by step in `accept`, `enqueue_req`, `on_*_socket_readable`,
    `finish_request`, `murder_*` and `wait_for_and_dispatch_events` is done by `loop` and `turns`:
    there are no such methods, and those of a subclass are not called.
    """

    serves_tls = True
    holds_lines = True

    tpool: Any = None
    loop: ConnectionLoop | None = None  # from `run` on
    many = False  # access lines come one upon the other

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Warn of settings that do not go together; the master calls it before it forks."""
        if cfg.keepalive and cfg.worker_connections <= cfg.threads:
            log.warning(
                "No keepalived connections can be handled. "
                "Check the number of worker connections and threads."
            )

    def get_thread_pool(self) -> Any:
        """Where the threads come from.

        A subclass may return an executor with room for `threads` tasks; None stands for plain
        threads, which end with the process whatever they do.
        """
        return None

    def init_process(self) -> None:
        """Become a worker and serve; the pool is there before the application is loaded."""
        self.tpool = self.get_thread_pool()
        super().init_process()

    def run(self) -> None:
        self.cycle = Cycle(self, keep_alive=self.cfg.keepalive > 0)
        # The main thread shows life, so a thread may wait in one go.
        self.loop = ConnectionLoop(self, PollWaiter(_nothing, LONG_POLL), multithread=True)
        self.lent_fd, self.lent_write = process.wake_pipe()
        self.postponed = Postponed(self.cfg.postpone_output, partial(_write, self.lent_write))
        if self.cfg.postpone_output and self.watch is None:  # that ends requests anywhere
            self.loop.postponed = self.postponed
        self.poller = self.loop.poller
        self.turns = Turns(self.cfg.threads)
        self.lock = _accel.runtime.Mutex()
        self.wanted = threading.Condition(self.lock)  # type: ignore[arg-type]  # parked threads wait for it
        methods = (self.handle, self.handle_request)
        if self.cycle.direct is not None and self.tray is not None:
            self.cycle.direct.on_many = self._many_lines
        self.crew = Crew(self, plain=all(map(is_as_written, methods, _AS_WRITTEN)))
        self.loop.due = _FOREVER
        self.loop.wake_fd, self.wake_write = process.wake_pipe()
        self.poller.register(self.loop.wake_fd, READ)
        self.loop.resume_accepting()
        for number in range(self.cfg.threads):
            self._start_thread(number)
        try:
            self._keep(self.loop)
        finally:
            self.postponed.close()
            self._end_threads(self.loop)
            if self.cycle.direct is not None:
                self.cycle.direct.release()

    def _start_thread(self, number: int) -> None:
        if self.tpool is not None:
            self.tpool.submit(self.take_turns, number)
        else:
            threading.Thread(
                target=self.take_turns, args=(number,), name=f"request_{number}", daemon=True
            ).start()

    # -- the main thread --

    def _keep(self, loop: ConnectionLoop) -> None:
        """Do everything but requests, until the worker is to stop and has come to its end."""
        tick = min(TICK, self.timeout or TICK)
        signals = select.poll()
        signals.register(self.PIPE[0], select.POLLIN)
        signals.register(self.lent_fd, select.POLLIN)
        while True:
            loop.due = 0.0  # else a busy thread would not let go of the lock for long enough
            with self.lock:
                loop.due = _FOREVER
                loop.tick()
                if not self.alive and not loop.draining():
                    return
                if loop.ready:  # by what the tick has found, or in a pipeline behind a slow request
                    self._nudge()
            # Once it drains its last answer may come at any time.
            self._wait(signals, tick if self.alive else DRAIN_TICK)
            empty(self.PIPE[0])

    def _wait(self, signals: select.poll, seconds: float) -> None:
        """Wait for a signal, and see to it that no access line waits for long."""
        lines = self.cycle.direct
        if lines is None or self.tray is None:
            self._pause(signals, seconds)
            return
        before = lines.lines()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0.0:
            held = lines.tray is not None
            if self._pause(signals, min(left, HELD) if held else left):
                break
            lines.flush()
        if not self.alive or (left <= 0.0 and lines.lines() - before < MANY * seconds):
            lines.release()
        elif self.many:
            self.many = False
            lines.hold(self.tray, self.log.error_log.handlers)
            if lines.tray is None:  # they go to where nothing may wait
                lines.on_many = None

    def _pause(self, signals: select.poll, seconds: float) -> bool:
        """Wait for a signal, and meanwhile send what threads leave; True if there is one."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0.0:
            pause = min(left, MOMENT) if self.postponed.send() else left
            found = [fd for fd, _ in signals.poll(pause * 1000)]
            if self.lent_fd in found:
                empty(self.lent_fd)
                self.postponed.called()
            if self.PIPE[0] in found:
                return True
        return False

    def _many_lines(self) -> None:
        """From now on they had better be written together: the main thread shall see to it."""
        self.many = True
        _write(self.PIPE[1])

    def left(self) -> None:
        """Tell the main thread that the last request has been run."""
        _write(self.PIPE[1])

    def _nudge(self) -> None:
        """Wake a thread, however it sleeps."""
        self.poller.called = True
        _write(self.wake_write)
        self.wanted.notify()

    def _end_threads(self, loop: ConnectionLoop) -> None:
        """Send the threads home; one that is held up in the application is left behind."""
        loop.due = 0.0
        self.crew.stopping = True
        if not self.lock.acquire(timeout=LEAVE_SECONDS):
            return  # whoever has it is stuck, in writing a log line perhaps
        try:
            loop.stop_at = 0.0
            self._nudge()
            self.wanted.notify_all()
            self.wanted.wait_for(lambda: self.threads_left <= self.turns.running(), LEAVE_SECONDS)
            if not self.threads_left:
                loop.close()
                for fd in (loop.wake_fd, self.wake_write, self.lent_fd, self.lent_write):
                    os.close(fd)
        finally:
            self.lock.release()
        if self.tpool is not None:
            self.tpool.shutdown(False)

    # -- the threads --

    def take_turns(self, thread: int) -> None:
        """What each thread does until the worker has come to its end."""
        assert self.loop is not None
        with self.lock:
            self.threads_left += 1
            try:
                while self._sleep(thread, self.loop):
                    if self.turns.wake(thread, self.loop.now):
                        self.wanted.notify()
                    self.poller.active = self.turns.active
                    self.crew.serve(thread)
            except BaseException:  # nobody else would hear of it, and the others wait for this one
                self.log.exception("Exception in a thread of %s", self)
                self.alive = False
                _write(self.PIPE[1])
            finally:
                self.turns.gone(thread)
                self.threads_left -= 1
                self.wanted.notify_all()

    def _sleep(self, thread: int, loop: ConnectionLoop) -> bool:
        """Sleep, in whatever role, until there is something to do; False: the end has come."""
        turns, poller, lock = self.turns, self.poller, self.lock
        while not self.crew.stopping:
            now = time.monotonic()
            role = turns.rest(thread, now)
            poller.active = turns.active
            poller.waiting = len(loop.ready) + len(loop.arrivals)
            wake_at = loop.wake_at()
            if role != WAIT and wake_at != _FOREVER:
                _write(self.wake_write)  # whoever waits has to know until when
            if role == PARK:
                self.wanted.wait()
                continue
            if role == WAIT and poller.waiting:
                return True  # left behind by one that is held up
            if role == WAIT:
                loop.line_up()
            found: list[int] = []
            called = False
            lock.release()
            try:
                if role == WAIT:
                    found = poller.wait(wake_at - now)
                else:
                    called = poller.watch(NAP if turns.patience else 0.0)
            finally:
                lock.acquire()
            turns.contended = poller.contended
            if found or wake_at != _FOREVER:
                loop.awake(found)
            if found or called:
                poller.called = False
                return not self.crew.stopping
        return False

    def handle(self, conn: Connection) -> None:
        """Run the complete request of a connection."""
        req = conn.request
        assert req is not None
        last = False
        try:
            last = self.handle_request(req, conn) is False
        except Exception as exc:
            if not known(req, exc):
                raise
        if conn.request is not None:
            conn.conclude()  # a subclass has done something else with it
        if last:
            conn.keep = False

    def failed(self, conn: Connection, exc: BaseException) -> None:
        """`handle` has raised, which does not happen unless it is a subclass's: live on."""
        if not self.leaving:
            self.log.exception("Exception while handling a request")
        conn.fail(exc)

    def interrupter(self) -> Any:
        from cyserve.workers.interrupts import ThreadInterrupter  # noqa: PLC0415 - rarely on

        return ThreadInterrupter()

    def unwatch(self, connection: Connection) -> None:
        connection.interest = 0
        if connection.transport.fd >= 0:
            with contextlib.suppress(OSError):  # it may not be watched
                self.poller.unregister(connection.fd)

    def lose(self, connection: Connection) -> None:
        assert self.loop is not None
        self.loop.due = 0.0  # see _keep, which it will wake next
        with self.lock:
            if connection.place == RUNNING:
                connection.place = LOST
                # All threads may be lost, and others wait for one. It has the lane of the lost.
                self._start_thread(self.turns.join(connection.lane))

    def handle_request(self, req: Request, conn: Connection) -> bool:
        """Run one request; the place that instrumentation wraps.

        Returns whether the connection may carry another one.
        """
        self.cycle.serve(req)
        return conn.keep

    # -- for subclasses and hooks: how things stand --

    @property
    def worker_connections(self) -> int:
        """How many connections the worker may hold."""
        return int(self.cfg.worker_connections)

    @property
    def max_keepalived(self) -> int:
        """How many of them may be idle while every thread is busy."""
        return self.worker_connections - int(self.cfg.threads)

    @property
    def nr_conns(self) -> int:
        """How many connections the worker holds."""
        return len(self.loop.connections) if self.loop else 0

    @property
    def keepalived_conns(self) -> deque[Connection]:
        """Those that were answered and are idle now; a copy."""
        return deque(conn for conn in self._idle() if conn.requests)

    @property
    def pending_conns(self) -> deque[Connection]:
        """Those that have not sent anything yet; a copy."""
        return deque(conn for conn in self._idle() if not conn.requests)

    def _idle(self) -> list[Connection]:
        connections = list(self.loop.connections.values()) if self.loop else []
        return [conn for conn in connections if conn.idle_since != _FOREVER]

    def set_accept_enabled(self, enabled: bool) -> None:
        """Take new connections, or leave them to other workers for now."""
        if self.loop is not None:
            self.loop.open = enabled
            _write(self.PIPE[1])


_AS_WRITTEN = (ThreadWorker.handle, ThreadWorker.handle_request)


def _write(fd: int) -> None:
    """Wake whoever waits for a pipe."""
    with contextlib.suppress(BlockingIOError):  # full: it has enough to wake by
        os.write(fd, b".")


def _nothing() -> None:
    """A thread that waits for a client has nobody to tell."""
