"""The loop that every worker of ours shares: it watches connections and decides whose turn it is.

Heads and small bodies are gathered, slow answers finished and closing connections lingered over
here, with non-blocking calls only: a client that does nothing costs a descriptor, never a worker.
The loop never looks into HTTP: `http.connection` says what a connection needs, and `serve`, given
by the worker, runs a request.
"""

import errno
import os
import time
from collections.abc import Callable
from typing import Any

from cyserve import _accel
from cyserve.http.connection import CLOSED, MORE, READY, Connection, Context
from cyserve.http.environ import Endpoint
from cyserve.http.transport import PlainTransport, PollWaiter
from cyserve.workers.poller import READ, WRITE, Poller

ACCEPT_BATCH = 64  # connections taken from a listener before looking at the others again
PIPELINE_BATCH = 16  # requests served from one connection's buffer before the others' turn
TICK = 1.0  # seconds between heartbeats, looks at the parent process, and at the deadlines
BEAT = 0.1  # seconds between heartbeats while requests are served
LINGER_SECONDS = 5.0  # for a closing client to send something, or the end of its stream
LINGER_TOTAL = 30.0  # for a closing client to come to an end
COMPLAIN_SECONDS = 60.0  # between log lines about descriptors that ran out
STOP_SECONDS = 2.0  # for a connection without a request when the worker stops

_NO_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class ConnectionLoop:
    """Runs the connections of one worker in one thread.

    worker: a `workers.base.Worker` with its application loaded; serve: runs the complete request
    of a connection to its end; multithread: what the environ says.
    """

    def __init__(
        self, worker: Any, serve: Callable[[Connection], None], *, multithread: bool = False
    ) -> None:
        cfg = worker.cfg
        self.worker = worker
        self.log = worker.log
        self.serve = serve
        self.context = Context(cfg, worker.log)
        self.tick = min(TICK, worker.timeout or TICK)
        self.waiter = PollWaiter(worker.notify, self.tick, total=cfg.timeout or float("inf"))
        self.header_timeout: float = cfg.client_header_timeout
        self.body_timeout: float = cfg.client_body_timeout
        self.send_timeout: float = cfg.send_timeout
        self.keepalive: float = cfg.keepalive
        self.graceful_timeout: float = cfg.graceful_timeout
        self.max_connections: int = cfg.worker_connections
        self.poller = Poller()
        self.endpoints = {
            listener.fileno(): Endpoint(cfg, listener, multithread=multithread)
            for listener in worker.sockets
        }
        self.connections: dict[int, Connection] = {}  # those that are watched
        self.runnable: dict[Connection, None] = {}  # requests wait in their buffers
        self.accepting = False
        self.now = time.monotonic()
        self.next_tick = 0.0
        self.next_beat = 0.0
        self.next_complaint = 0.0
        self.earliest = float("inf")  # no deadline is before this

    def run(self) -> None:
        """Serve until the worker is told to stop, then let what has begun come to its end."""
        self.poller.register(self.worker.PIPE[0], READ)
        self._resume_accepting()
        while self.worker.alive:
            self._turn()
        self._drain()
        self.poller.close()

    def _turn(self) -> None:
        """Wait for events, at most until the next tick, and act on them."""
        wait = self.next_tick - self.now
        events = self.poller.poll(0.0 if self.runnable or wait < 0.0 else wait)
        self.now = polled = time.monotonic()
        if self.runnable:
            runnable, self.runnable = self.runnable, {}
            for connection in runnable:
                self._act(connection, connection.advance())
        accept: list[int] = []
        for fd, _ in events:
            watched = self.connections.get(fd)
            if watched is not None:
                if watched.interest == WRITE:
                    self._continue_sending(watched)
                elif watched.lingering:
                    self._linger(watched)
                else:
                    self._act(watched, watched.receive())
            elif fd in self.endpoints:
                accept.append(fd)
            elif fd == self.worker.PIPE[0]:
                _empty(fd)
        for fd in accept:
            self._accept(self.endpoints[fd], ACCEPT_BATCH)
            if self.accepting:
                self.poller.requeue_listener(fd)
        if polled >= self.next_tick:  # last: what a client sent in time has been read by now
            self._tick(polled)

    def _tick(self, polled: float) -> None:
        """Once a second: show life, look for the master, close what is overdue.

        polled: when the events that have been handled were asked for. A client cannot be blamed
        for the time that the application took since.
        """
        self.next_tick = self.now + self.tick
        worker = self.worker
        worker.notify()
        worker.slot.connections = len(self.connections)
        if worker.alive and not worker.is_parent_alive():
            self.log.info("Parent changed, shutting down: %s", worker)
            worker.alive = False
        self._resume_accepting()
        if polled >= self.earliest:
            overdue = [c for c in self.connections.values() if c.deadline <= polled]
            for connection in overdue:
                self._time_out(connection)
            self.earliest = min(
                (c.deadline for c in self.connections.values()), default=float("inf")
            )

    # -- accepting --

    def _resume_accepting(self) -> None:
        """Watch the listeners if there is room, and time, for another connection."""
        room = len(self.connections) < self.max_connections
        if room and not self.accepting and self.worker.alive:
            self.accepting = True
            for fd in self.endpoints:
                self.poller.register_listener(fd)

    def _pause_accepting(self) -> None:
        if self.accepting:
            self.accepting = False
            for fd in self.endpoints:
                self.poller.unregister(fd)

    def _accept(self, endpoint: Endpoint, most: int, *, stopping: bool = False) -> None:
        """Take new connections; each is served at once if its request is already there.

        most: how many; stopping: also when one of them was the worker's last (max_requests).
        """
        accept = _accel.io.accept
        listener = endpoint.listener.sock
        fd, family = listener.fileno(), int(listener.family)
        for _ in range(most):
            if not (self.worker.alive or stopping):
                return
            if len(self.connections) >= self.max_connections:
                self._pause_accepting()
                return
            try:
                accepted = accept(fd, family)
            except OSError as exc:
                if exc.errno not in _NO_RESOURCES:
                    raise
                if self.now >= self.next_complaint:
                    self.next_complaint = self.now + COMPLAIN_SECONDS
                    self.log.error("Cannot accept connections for now: %s", exc)
                self._pause_accepting()
                return
            if accepted is None:
                return
            sock, address = accepted
            transport = PlainTransport(sock, self.waiter)
            connection = Connection(transport, address, endpoint, self.context)
            connection.deadline = self.now + self.header_timeout
            self._act(connection, connection.receive())

    # -- one connection --

    def _act(self, connection: Connection, step: int) -> None:
        """Do what the connection needs next."""
        if step == READY:
            self._serve(connection)
        elif step == MORE:
            self._gather(connection)
        elif step == CLOSED:
            self._close(connection)
        else:
            self._after_response(connection)

    def _gather(self, connection: Connection) -> None:
        """Wait for the rest of a request: a total limit for heads, one between reads for bodies."""
        if connection.request is not None:
            deadline = self.now + self.body_timeout
        elif connection.keep and len(connection.transport.input):
            connection.keep = False  # the idle time is over, the time for the head begins
            deadline = self.now + self.header_timeout
        else:
            deadline = connection.deadline
        self._watch(connection, READ, deadline)

    def _serve(self, connection: Connection) -> None:
        """Run the complete request, and those that wait behind it in the buffer."""
        for _ in range(PIPELINE_BATCH):
            if self.now >= self.next_beat:  # each request may take the whole timeout
                self.worker.notify()
                self.next_beat = self.now + BEAT
            self.serve(connection)
            self.now = time.monotonic()
            transport = connection.transport
            if not connection.keep or transport.waiting or not len(transport.input):
                break
            step = connection.advance()
            if step != READY:
                self._act(connection, step)
                return
        else:
            self.runnable[connection] = None
            return
        self._after_response(connection)

    def _after_response(self, connection: Connection) -> None:
        """Send what is left, then go on with the connection or end it."""
        transport = connection.transport
        if transport.waiting:
            self._continue_sending(connection)
        elif connection.keep:
            if len(transport.input):
                self._act(connection, connection.advance())
                return
            transport.input.release()
            self._watch(connection, READ, self.now + self.keepalive)
        elif connection.must_linger():
            connection.lingering = True
            connection.template = {}  # nothing else is needed of it
            self._start_linger(connection)
        else:
            self._close(connection)

    def _continue_sending(self, connection: Connection) -> None:
        try:
            pending = connection.transport.flush()
        except OSError:
            self._close(connection)
            return
        if pending:
            self._watch(connection, WRITE, self.now + self.send_timeout)
        else:
            self._after_response(connection)

    # -- ending --

    def _start_linger(self, connection: Connection) -> None:
        try:
            connection.transport.shutdown_write()
        except OSError:
            self._close(connection)
            return
        connection.linger_until = self.now + LINGER_TOTAL
        self._linger(connection)

    def _linger(self, connection: Connection) -> None:
        """Read and drop until the client ends, so that it can read our response first."""
        try:
            got = connection.transport.drop_input()
        except OSError:
            got = 0
        if got == 0:
            self._close(connection)
        else:
            deadline = min(self.now + LINGER_SECONDS, connection.linger_until)
            self._watch(connection, READ, deadline)

    def _time_out(self, connection: Connection) -> None:
        if connection.interest == WRITE or connection.lingering:
            self._close(connection)
        else:
            self._act(connection, connection.time_out())

    def _watch(self, connection: Connection, interest: int, deadline: float) -> None:
        if connection.interest != interest:
            fd = connection.transport.fd
            if connection.interest:
                self.poller.modify(fd, interest)
            else:
                self.poller.register(fd, interest)
                self.connections[fd] = connection
            connection.interest = interest
        connection.deadline = deadline
        if deadline < self.earliest:
            self.earliest = deadline

    def _close(self, connection: Connection) -> None:
        transport = connection.transport
        if connection.interest:
            try:
                self.poller.unregister(transport.fd)
            except (OSError, KeyError):
                pass  # the application has closed the socket (it is in the environ)
            del self.connections[transport.fd]
            connection.interest = 0
        if self.runnable:
            self.runnable.pop(connection, None)
        transport.close()
        if not self.accepting:  # there was no room, or no descriptor
            self._resume_accepting()

    def _drain(self) -> None:
        """The worker stops: nothing that a client has begun is lost, and nothing new begins.

        Connections that wait in the listen queue are served too; later ones are another
        worker's. Bounded by graceful_timeout.
        """
        end = self.now + self.graceful_timeout
        for endpoint in self.endpoints.values():
            queued = endpoint.listener.get_backlog()
            for _ in range(queued if queued >= 0 else ACCEPT_BATCH):
                if self.now < end:
                    self._accept(endpoint, 1, stopping=True)
        self._pause_accepting()
        for listener in self.worker.sockets:
            listener.close()
        silent_end = min(end, self.now + STOP_SECONDS)
        self.earliest = 0.0
        while (self.connections or self.runnable) and self.now < end:
            for connection in list(self.connections.values()):
                idle = connection.request is None and not len(connection.transport.input)
                if idle and connection.interest == READ:
                    connection.deadline = min(connection.deadline, silent_end)
            self.earliest = 0.0
            self._turn()
        for connection in list(self.connections.values()):
            self._close(connection)


def _empty(fd: int) -> None:
    """Drop the bytes by which signals woke the loop."""
    try:
        while len(os.read(fd, 4096)) == 4096:
            pass
    except BlockingIOError:
        pass
