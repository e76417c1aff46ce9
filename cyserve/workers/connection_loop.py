"""The connections of one worker: who is watched, who is ready, whose turn it is, who is overdue.

Heads and small bodies are gathered, slow answers finished and closing connections lingered over
here, with non-blocking calls only: a client that does nothing costs a descriptor, never a thread.
Nothing here looks into HTTP (`http.connection` does) or runs a request (the worker does, between
`next` and `answered`). One thread at a time may be in here; the worker sees to that.
"""

import errno
import socket
from collections import deque
from time import sleep

from cyserve import _accel
from cyserve.certificates import Certificates
from cyserve.http.connection import CLOSE, READ, RUN, WRITE, Connection
from cyserve.http.context import Context
from cyserve.http.cycle import Cycle
from cyserve.http.environ import Endpoint
from cyserve.http.transport import ClientSocket, PlainTransport, UnusedSocket, peer_of
from cyserve.scoreboard import DRAINING, Slot
from cyserve.sock import somebody_waits
from cyserve.workers.base import draining_ends, empty
from cyserve.workers.transports import transport_maker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ACCEPT_BATCH = 64  # connections taken from a listener before looking at the others again
COUNT = 0.001  # seconds between looks at how many connections the other workers hold
HOLD = 0.002  # seconds for which a worker with many connections leaves new ones to the others
SPREAD = 8  # how many connections more than another worker one may hold without a thought
TICK = 1.0  # seconds between heartbeats, looks at the parent process, and at the deadlines
BEAT = 0.1  # seconds between heartbeats while requests are served
COMPLAIN_SECONDS = 60.0  # between log lines about descriptors that ran out
LOOK = 0.001  # seconds that rows of pipelined requests may take before a look at the others
BREATH = 0.05  # seconds after which other threads get the GIL, whatever comes
STOP_SECONDS = 2.0  # for an idle connection when the worker stops: its request may be on its way
ROOM = 32  # idle connections closed at once, at most, to make room

_clock, _gate = _accel.runtime.CLOCK, _accel.runtime.GATE

# Connection.place: where it is.
WAITING = 0  # for its client
READY = 1  # in `ready`: something has come, or its next request is in its buffer
RUNNING = 2  # with a thread that runs its request
LOST = 3  # with a thread that does not come back (request_timeout)

NEWS = 2  # an interest: READ, but told once for what has come

# The same under names that are C's in a compiled build, where a public one has to be looked up.
_READ, _WRITE, _RUN, _LOOK, _NEWS = READ, WRITE, RUN, LOOK, NEWS
_WAITING, _READY, _RUNNING = WAITING, READY, RUNNING

_new_socket = socket.socket.__new__

#: accept(2) may work later: no descriptor or memory now, or what befell one client's connection.
ACCEPT_LATER = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EPERM} | {
    getattr(errno, name, errno.ENOBUFS)
    for name in "ENETDOWN EPROTO ENOPROTOOPT EHOSTDOWN ENONET EHOSTUNREACH ENETUNREACH".split()
}


class ConnectionLoop:
    """The connections of one worker.

    worker: a `workers.base.Worker` with its application loaded; waiter: how a request waits for
    its client; multithread: what the environ says.
    """

    def __init__(self, worker: "Any", waiter: "Any", *, multithread: bool = False) -> None:
        cfg = worker.cfg
        self.worker = worker
        self.log = worker.log
        self.waiter = waiter
        self.postponed: Any = None  # a `Postponed` where somebody sends what waits
        self.context = Context(cfg, worker.log, worker.own_handle_error())
        self.graceful_timeout: float = cfg.graceful_timeout
        self.max_connections: int = cfg.worker_connections
        self.certificates: Certificates | None = worker.certificates
        self.make_transport = transport_maker(worker, waiter)
        self.slot: Slot = worker.slot
        #: Connections that nobody has kept are used again, but where some lose their descriptors.
        self.reuses = _accel.is_compiled and self.certificates is None and worker.watch is None
        self.poller = _accel.poll.Poller()
        # Told once, the kernel need not look again whether it has been read. With TLS, or a PROXY
        # header before the head, not all that has come is read at once.
        plain = self.certificates is None and self.context.proxy_protocol == "off"
        self.news = NEWS if self.poller.edge and plain else READ
        self.endpoints = {
            listener.fileno(): Endpoint(cfg, listener, multithread=multithread)
            for listener in worker.sockets
        }
        self.connections: dict[int, Connection] = {}
        self.ready: _accel.Row = _accel.runtime.Row()
        self.arrivals: deque[int] = deque()  # listeners with new connections
        self.passed: list[int] = []  # listeners at whose line's end this worker belongs
        self.share = 0  # how many more are taken from the first of them in this turn
        self.lightest = False  # this worker holds fewer connections than the others
        self.hold_until = 0.0  # until then they are left to others
        self.held = False  # that time has just been over
        self.others: int | None = None  # fewest connections that another idle worker holds
        self.next_count = 0.0
        self.accepting = False
        self.next_complaint = 0.0
        self.next_look = 0.0
        self.next_breath = 0.0
        self.open = True  # new connections are welcome
        self.wake_fd = worker.PIPE[0]  # readable when a thread that waits is wanted
        self.now = _clock.monotonic()
        self.due = 0.0  # when `next` lets go although there may be more: for `tick`
        self.earliest = float("inf")  # no deadline is before this
        self.stop_at = float("inf")  # what has not come to its end by then is given up
        self.farewell = float("inf")  # what has not begun to run by then is refused

    # -- what a thread does --

    def next(self) -> Connection | None:
        """The next connection whose request is to be run; None if nothing is ready, or at `due`.

        Clients that never send a good request must not keep the thread in here for ever.
        """
        ready = self.ready
        while True:
            while ready.count and self.now < self.next_look:
                connection: Connection = ready.pop()
                step = connection.step
                if step != _RUN:
                    step = connection.proceed(self.now)
                if step == _RUN:
                    connection.place = _RUNNING
                    return connection
                self.settle(connection, step)
            if self.arrivals:
                accepted = self._accept()
                if accepted is not None:
                    return accepted
                continue
            if self.now >= self.due:
                return None
            if self.now >= self.next_breath:  # compiled code never lets go of the GIL by itself
                self.next_breath = self.now + BREATH
                sleep(0.0)
            found = self.poller.take()
            if not (found or ready.count):
                return None
            self.arrived(found)

    def arrived(self, found: list[int]) -> None:
        """Note which descriptors are ready."""
        self.now = _clock.monotonic()
        if self.held and not self.accepting:
            self.resume_accepting()
        self.next_look = self.now + _LOOK
        for fd in found:
            connection = self.connections.get(fd)
            if connection is None:
                if fd in self.endpoints:
                    if fd not in self.arrivals:
                        self.arrivals.append(fd)
                elif fd == self.wake_fd and self.now < self.stop_at:
                    empty(fd)
            elif connection.place == _WAITING:
                connection.place = _READY
                self.ready.push(connection)
            elif connection.interest == _NEWS and not connection.signalled:
                connection.signalled = True
            elif connection.place == _RUNNING and connection.interest:
                self._unregister(connection)  # more than its turn can take: it would be seen again

    def answered(self, connection: Connection) -> None:
        """The request has been run."""
        self.now = now = _clock.monotonic()
        if connection.transport.fd < 0:
            self._close(connection)  # the application has closed the socket
        else:
            self.settle(connection, connection.answered(now))

    def settle(self, connection: Connection, step: int) -> None:
        """Do what the connection needs next."""
        connection.step = step
        if step == _READ and (connection.signalled or connection.transport.full):
            connection.place = _READY  # nobody will tell us again
            self.ready.push(connection)
        elif step == _READ or step == _WRITE:
            connection.place = _WAITING
            interest = self.news if step == _READ else _WRITE
            if connection.interest != interest and not self._register(connection, interest):
                return
            if connection.deadline < self.earliest:
                self.earliest = connection.deadline
        elif step == _RUN:
            connection.place = _READY  # behind the others that are ready
            self.ready.push(connection)
        else:
            self._close(connection)

    def wait(self, until: float) -> None:
        """Wait until something is ready, at most until then (monotonic clock)."""
        self.line_up()
        self.awake(self.poller.wait(min(until, self.wake_at()) - self.now))

    def line_up(self) -> None:
        """Before a thread waits: whoever has accepted last goes to the end of the line.

        Nobody who is at work stands in the way there, so it need not be after each connection.
        """
        while self.passed:
            self.poller.requeue_listener(self.passed.pop())

    def awake(self, found: list[int]) -> None:
        """The same as `arrived`, for a thread that has waited: the others had the GIL then."""
        self.arrived(found)
        self.next_breath = self.now + BREATH

    def wake_at(self) -> float:
        """When a thread has to look up that waits for something to be ready."""
        waits = self.held and not self.accepting and self.open and self.worker.alive
        return self.hold_until if waits else float("inf")

    def run(self, serve: "Any", cycle: Cycle | None = None) -> None:
        """Serve with one thread until the worker is told to stop.

        serve: runs the request of a connection; cycle: does it if `serve` would do nothing else.
        """
        worker = self.worker
        allowance: Any = None if cycle is None else self.waiter  # a PollWaiter
        tick = min(TICK, worker.timeout or TICK)
        next_beat = 0.0
        self.poller.register(self.wake_fd, _READ)
        self.resume_accepting()
        while worker.alive or self.draining():
            connection = self.next()
            if connection is not None:
                if self.now >= next_beat:  # each request may take the whole timeout
                    worker.notify()
                    next_beat = self.now + BEAT
                if cycle is None:
                    serve(connection)
                else:
                    allowance.restart()
                    assert connection.request is not None
                    cycle.run(connection.request)
                self.answered(connection)
            elif self.now < self.due:
                self.wait(min(self.due, self.farewell, self.stop_at))
            if self.now >= self.due:
                self.tick()
                self.due = self.now + tick
        self.close()

    # -- time --

    def tick(self) -> None:
        """Once a second: show life, look for the master, end what is overdue."""
        self.now = now = _clock.monotonic()
        worker = self.worker
        worker.notify()
        if worker.alive and not worker.is_parent_alive():
            self.log.info("Parent changed, shutting down: %s", worker)
            worker.alive = False
        if self.certificates is not None:
            self.certificates.refresh()
        self.resume_accepting()
        if now >= self.stop_at - self.graceful_timeout:
            self._hurry()
        if now >= self.earliest:
            for connection in list(self.connections.values()):
                if connection.deadline <= now and connection.place == _WAITING:
                    self.settle(connection, connection.expire(now))
            self.earliest = min(
                (c.deadline for c in self.connections.values()), default=float("inf")
            )

    # -- accepting --

    def resume_accepting(self) -> None:
        """Watch the listeners if there is room, and time, for another connection."""
        # After a hold also a full one listens, so that it can make room.
        room = self.held or len(self.connections) < self.max_connections
        if (
            room
            and self.now >= self.hold_until
            and self.open
            and not self.accepting
            and self.worker.alive
        ):
            self.accepting = True
            for fd in self.endpoints:
                self.poller.register_listener(fd)

    def _pause_accepting(self) -> None:
        self.arrivals.clear()
        self.passed.clear()
        if self.accepting:
            self.accepting = False
            for fd in self.endpoints:
                self.poller.unregister(fd)

    def _accept(self) -> Connection | None:
        """Take one new connection; it is returned if its request is there already."""
        if not (self.worker.alive and self.open):  # `drain` takes what is queued
            self._pause_accepting()
            return None
        fd = self.arrivals[0]
        if not self.share:
            self.share = self._fair_share()
            if not self.share:
                self.held = True
                self.hold_until = self.now + HOLD
                self._pause_accepting()
                return None
        self.held = False
        connection = self._take_from(self.endpoints[fd], fd)
        self.share -= 1
        if connection is None or not self.share:
            self.share = 0
            if self.arrivals:
                self.arrivals.popleft()
            if self.accepting and not self.lightest and fd not in self.passed:
                self.passed.append(fd)
        if connection is None:
            return None
        step = connection.start(self.now)
        if step == _RUN:
            connection.place = _RUNNING
            return connection
        self.settle(connection, step)
        return None

    def _fair_share(self) -> int:
        """How many new connections to take before the other workers' turn.

        A worker that holds far more than an idle other one leaves it the time to wake up (HOLD),
        then takes one; one that holds far fewer stays at the head of the line.
        """
        own = len(self.connections)
        if self.now >= self.next_count:
            self.next_count = self.now + COUNT
            self.others = self.slot.lightest_peer()
        others = self.others
        if others is None:
            self.lightest = False
            return SPREAD
        self.lightest = own + SPREAD < others
        return int(min(max(self.held, others + SPREAD - own), ACCEPT_BATCH))

    def _take_from(self, endpoint: Endpoint, listener: int) -> Connection | None:
        """Accept a connection if there is one, and room for it."""
        full = len(self.connections) >= self.max_connections
        if full and self.worker.alive:
            if not somebody_waits(listener):
                return None  # nobody's connection is closed for nobody
            if not self._make_room():
                self._pause_accepting()
                return None
        connection = None
        while connection is None:
            try:
                fd = _gate.accept(listener)
            except OSError as exc:
                if exc.errno not in ACCEPT_LATER:
                    raise
                if self.now >= self.next_complaint:
                    self.next_complaint = self.now + COMPLAIN_SECONDS
                    self.log.error("Cannot accept connections for now: %s", exc)
                self._pause_accepting()
                return None
            if fd < 0:
                return None
            connection = self._connection(fd, _gate.address, endpoint)
        self.connections[fd] = connection
        self.slot.count(len(self.connections))
        return connection

    def _connection(self, fd: int, address: "Any", endpoint: Endpoint) -> Connection | None:
        """The connection of a client's socket; None if the client has gone already."""
        connection: Connection | None = self.context.connections.take()
        if connection is not None and address is not None:
            connection.transport.begin(fd)
            connection.begin(address, endpoint)
            return connection
        if self.certificates is None:
            transport = PlainTransport(_new_socket(UnusedSocket), self.waiter, fd, self.postponed)
        else:
            sock = ClientSocket(int(endpoint.listener.sock.family), fd)
            try:
                transport = self.make_transport(sock)
            except OSError:
                sock.close()
                return None
        peer = peer_of(transport.sock) if address is None else address
        return Connection(transport, peer, endpoint, self.context)

    def _make_room(self) -> bool:
        """Close the connections that have been idle for longest, a few at a time."""
        idle = [
            c for c in self.connections.values() if c.place == _WAITING and c.idle_since < self.now
        ]
        idle.sort(key=lambda connection: connection.idle_since)
        for connection in idle[: min(max(len(idle) // 8, 1), ROOM)]:
            # What has just come would be lost with it.
            step = connection.proceed(self.now)
            self.settle(connection, CLOSE if step == _READ else step)
        return len(self.connections) < self.max_connections

    # -- ending --

    def drain(self) -> None:
        """The worker stops: what clients have begun comes to its end, and nothing new begins.

        Connections that wait in the listen queue are served too; later ones are another
        worker's. Bounded by graceful_timeout, less a moment to leave in good order: at its end
        the master kills.
        """
        self.now = _clock.monotonic()
        farewell, end = draining_ends(self.graceful_timeout)
        self.farewell, self.stop_at = self.now + farewell, self.now + end
        self.slot.state = DRAINING
        self.held = False
        self._pause_accepting()
        for fd, endpoint in self.endpoints.items():
            queued = endpoint.listener.get_backlog()
            for _ in range(queued if queued >= 0 else ACCEPT_BATCH):
                connection = self._take_from(endpoint, fd)
                if connection is None:
                    break
                self.settle(connection, connection.start(self.now))
        for listener in self.worker.sockets:
            listener.close()
        self._hurry()

    def draining(self) -> bool:
        """Whether there is something left to bring to its end; the worker has been told to stop."""
        if self.stop_at == float("inf"):
            self.drain()
        if self.now >= self.farewell:
            self.farewell = float("inf")
            self._dismiss()
        left = any(connection.place != LOST for connection in self.connections.values())
        return left and self.now < self.stop_at

    def _hurry(self) -> None:
        """Wait for idle clients only a little longer."""
        end = min(self.stop_at, self.now + STOP_SECONDS)
        for connection in self.connections.values():
            if connection.idle_since <= self.now and connection.deadline > end:
                connection.deadline = end
        self.earliest = 0.0

    def _dismiss(self) -> None:
        """No request begins to run any more: whoever has begun to send one is told so."""
        for connection in list(self.connections.values()):
            place = connection.place
            if (place == _WAITING or place == _READY) and connection.dismiss(self.now):
                if place == _READY:
                    self.ready.remove(connection)
                self._close(connection)

    def close(self) -> None:
        """Let go of everything that is left."""
        for connection in list(self.connections.values()):
            self._close(connection)
        self.poller.close()

    # -- one connection --

    def _register(self, connection: Connection, interest: int) -> bool:
        try:
            if connection.interest:
                self.poller.modify(connection.fd, interest)
            else:
                self.poller.register(connection.fd, interest)
        except OSError:
            self._close(connection)  # the application has closed the socket
            return False
        connection.interest = interest
        return True

    def _unregister(self, connection: Connection) -> None:
        if connection.interest:
            connection.interest = 0
            try:
                self.poller.unregister(connection.fd)
            except OSError:
                pass  # the same

    def _close(self, connection: Connection) -> None:
        if self.connections.get(connection.fd) is connection:  # else its number is another's now
            self._unregister(connection)
            del self.connections[connection.fd]
            self.slot.count(len(self.connections))
        spent = self.context.connections
        if self.reuses and connection.leave(spent):
            spent.give(connection)
        else:
            connection.close()
        if not self.accepting:  # there was no room, or no descriptor
            self.resume_accepting()
