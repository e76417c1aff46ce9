"""The gevent worker: greenlets instead of threads, in a process whose modules are patched.

`GeventWorker` runs each connection of the shared engine in a greenlet. `GeventPyWSGIWorker`, which
runs gevent's own WSGI server, is found here and lives in `gpywsgi`. Modules are patched in the
worker's process, before the application is loaded: nothing here may start the hub earlier.
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any

try:
    import gevent
    import gevent.socket
    from gevent import monkey
    from gevent.event import Event
    from gevent.hub import get_hub
except ImportError as exc:
    raise RuntimeError(f"gevent worker requires gevent 24.10.1 or higher: {exc}") from None

from cyserve import process
from cyserve.http.connection import READ, Connection
from cyserve.http.transport import accept
from cyserve.scoreboard import DRAINING
from cyserve.workers.base import draining_ends, empty
from cyserve.workers.base_async import AsyncWorker
from cyserve.workers.connection_loop import (
    ACCEPT_BATCH,
    ACCEPT_LATER,
    COMPLAIN_SECONDS,
    LOST,
    ROOM,
    STOP_SECONDS,
    TICK,
    WAITING,
)
from cyserve.workers.greenlet_interrupts import GreenletInterrupter
from cyserve.workers.hub import HubSocket, HubWait, expire_overdue

if [int(part) for part in re.findall(r"\d+", gevent.__version__)] < [24, 10, 1]:
    raise RuntimeError(f"gevent worker requires gevent 24.10.1 or higher, not {gevent.__version__}")

STOP_TICK = 0.1  # seconds between looks at what still runs when the worker stops
KILL_SECONDS = 1.0  # for greenlets to die when graceful_timeout is over

_PYWSGI = {"GeventPyWSGIWorker", "GeventResponse", "PyWSGIHandler", "PyWSGIServer", "VERSION"}


class ConnectionGreenlet(gevent.Greenlet):
    """Runs one connection."""

    spawning_stack_limit = 0  # where it was spawned is known, and costs more than a request


class GeventWorker(AsyncWorker):
    """Runs connections in greenlets.

    server_class: a server of gevent's (`gevent.pywsgi.WSGIServer`) to run instead of the engine of
    this package; wsgi_handler: its handler class.
    """

    serves_tls = True

    server_class: Any = None
    wsgi_handler: Any = None

    ending = 0  # handlers under way that end the process

    def patch(self) -> None:
        """Make the standard library cooperative, and say so where that comes too late."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", monkey.MonkeyPatchWarning)
            with process.thawed_memory():  # gevent asks the collector who holds what it replaces
                monkey.patch_all()
        for warning in caught:
            self.log.warning(
                "What was imported before the worker started (preload_app, the config file) keeps "
                "what gevent can no longer patch: %s",
                warning.message,
            )

    def init_process(self) -> None:
        self.patch()
        gevent.reinit()  # the master may have had a hub, if the application or a hook used one
        for listener in self.sockets:
            listener.sock = _cooperative(listener.sock)
        super().init_process()
        self._await_end()

    def timeout_ctx(self) -> Any:
        return gevent.Timeout(self.cfg.keepalive, False)

    def interrupter(self) -> Any:
        if self.server_class is not None:
            return None  # its requests do not go through our cycle
        return GreenletInterrupter()

    def lose(self, connection: Connection) -> None:
        connection.place = LOST

    # -- signals: what may block must not run in the hub, where most of them arrive --

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        self._leave(super().handle_quit, sig, frame)

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        self._leave(super().handle_abort, sig, frame)

    def _leave(self, handler: Callable[..., None], sig: int, frame: FrameType | None) -> None:
        """Run a signal's handler here, or in a greenlet if this is the hub."""
        self.ending += 1

        def handle() -> None:
            try:
                handler(sig, frame)
            finally:
                self.ending -= 1

        if gevent.getcurrent() is get_hub():
            gevent.spawn(handle)
        else:
            handle()

    def _await_end(self) -> None:
        """Let handlers that are about to end the process do so: they may have gone to sleep."""
        while self.ending:
            gevent.sleep(STOP_TICK)

    def handle_usr1(self, sig: int, frame: FrameType | None) -> None:
        gevent.spawn(super().handle_usr1, sig, frame)

    # -- the main greenlet: it watches over the others --

    def run(self) -> None:
        self.bell = Event()  # rung when the main greenlet has something to look at
        self.room = Event()  # set when a connection has ended
        self.waits: set[HubWait] = set()
        self.greenlets: set[Any] = set()  # one per connection
        self.max_connections: int = self.cfg.worker_connections
        self.tick = min(TICK, self.timeout or TICK)
        woken = get_hub().loop.io(self.PIPE[0], READ)
        woken.start(self._woken)
        if self.server_class is not None:
            from cyserve.workers.gpywsgi import Servers  # noqa: PLC0415 - as in __getattr__

            Servers(self).run()
            return
        self.prepare()
        acceptors = [gevent.spawn(self._accept_from, listener) for listener in self.sockets]
        for acceptor in acceptors:
            acceptor.rawlink(lambda _: self.bell.set())
        while self.alive:
            self.watch_over(len(self.greenlets), self.tick)
            for acceptor in acceptors:
                if acceptor.dead:
                    acceptor.get()  # raises what it died of
        self._drain(acceptors)

    def watch_over(self, connections: int, seconds: float) -> None:
        """Show life, look for the master and at the deadlines; sleep until the bell rings."""
        self.notify()
        self.slot.connections = connections
        if self.alive and not self.is_parent_alive():
            self.log.info("Parent changed, shutting down: %s", self)
            self.alive = False
            return
        if self.certificates is not None:
            self.certificates.refresh()
        expire_overdue(self.waits)
        self.bell.wait(seconds)
        self.bell.clear()
        self._await_end()

    def _woken(self) -> None:
        """A signal has come; called by the hub."""
        empty(self.PIPE[0])
        self.bell.set()

    def _drain(self, acceptors: list[Any]) -> None:
        """The worker stops: what waits in the listen queue and what has begun is served.

        Connections without a request are closed soon, all others after graceful_timeout.
        """
        start = time.monotonic()
        farewell, end = (start + seconds for seconds in draining_ends(self.cfg.graceful_timeout))
        self.slot.state = DRAINING
        gevent.killall(acceptors)
        for listener in self.sockets:
            queued = listener.get_backlog()
            for _ in range(queued if queued >= 0 else ACCEPT_BATCH):
                while self._full() and time.monotonic() < end:
                    self.watch_over(len(self.greenlets), STOP_TICK)
                try:
                    if not self._accept(listener):
                        break
                except OSError:
                    break  # no descriptor left
            listener.close()
        silent_end = min(end, time.monotonic() + STOP_SECONDS)
        while self._unfinished():
            now = time.monotonic()
            for connection in self.connections:
                if connection.idle_since <= now:
                    self._hurry(connection, silent_end)
            if now >= farewell:
                farewell = float("inf")
                self._dismiss(now)
            if now >= end:
                break  # not before: a worker that was stopped till now still says farewell
            self.watch_over(len(self.greenlets), STOP_TICK)
        gevent.killall(list(self.greenlets), timeout=KILL_SECONDS)

    def _dismiss(self, now: float) -> None:
        """No request begins to run any more: whoever has begun to send one is told so."""
        for connection, wait in list(self.connections.items()):
            if connection.place == WAITING and connection.dismiss(now):
                wait.greenlet.kill(block=False)

    def _unfinished(self) -> bool:
        lost = sum(connection.place == LOST for connection in self.connections)
        return len(self.greenlets) > lost

    # -- connections --

    def _accept_from(self, listener: Any) -> None:
        """Take connections while there is room, one by one if other workers want some too."""
        wait = HubWait(listener.fileno(), self.waits)
        most = ACCEPT_BATCH if self.cfg.workers == 1 else 1
        next_complaint = 0.0
        while True:
            wait.until(READ, float("inf"))
            if self._full():
                self._make_room()
                self._wait_for_room()
                continue
            try:
                for _ in range(most):
                    if self._full() or not self._accept(listener):
                        break
            except OSError as exc:
                if exc.errno not in ACCEPT_LATER:
                    raise
                if time.monotonic() >= next_complaint:
                    next_complaint = time.monotonic() + COMPLAIN_SECONDS
                    self.log.error("Cannot accept connections for now: %s", exc)
                self._wait_for_room()

    def _full(self) -> bool:
        return len(self.greenlets) >= self.max_connections

    def _wait_for_room(self) -> None:
        """Wait until a connection has ended, or a second."""
        self.room.clear()
        self.room.wait(TICK)

    def _make_room(self) -> None:
        """Close the connections that have been idle for longest, a few at a time."""
        now = time.monotonic()
        idle = [connection for connection in self.connections if connection.idle_since < now]
        idle.sort(key=lambda connection: connection.idle_since)
        for connection in idle[: min(max(len(idle) // 8, 1), ROOM)]:
            self._hurry(connection, now)
        expire_overdue(self.waits)

    def _hurry(self, connection: Connection, deadline: float) -> None:
        """Let an idle connection wait no longer than this."""
        if connection.deadline > deadline:
            connection.deadline = deadline
        self.connections[connection].hurry(connection.deadline)

    def _accept(self, listener: Any) -> bool:
        """Take one connection and start its greenlet; False if there was none."""
        accepted = accept(listener, HubSocket)
        if accepted is None:
            return False
        greenlet = ConnectionGreenlet(self._handle, listener, *accepted)
        self.greenlets.add(greenlet)
        self.slot.connections = len(self.greenlets)
        greenlet.start()
        return True

    def _handle(self, listener: Any, client: Any, address: Any) -> None:
        try:
            self.handle(listener, client, address)
        finally:
            self.greenlets.discard(gevent.getcurrent())
            self.room.set()
            if not self.alive:
                self.bell.set()

    def new_wait(self, fd: int) -> HubWait:
        return HubWait(fd, self.waits)

    def breathe(self) -> None:
        gevent.sleep(0)


def _cooperative(sock: Any) -> Any:
    """A listener as greenlets use it: it looks blocking, while its descriptor is not."""
    if not isinstance(sock, gevent.socket.socket):
        sock = gevent.socket.socket(sock.family, sock.type, sock.proto, fileno=sock.detach())
    sock.settimeout(None)
    return sock


def __getattr__(name: str) -> Any:
    """gevent.pywsgi is loaded for those who use it: it loads `ssl`, the master too."""
    if name not in _PYWSGI:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cyserve.workers import gpywsgi  # noqa: PLC0415 - see above

    return getattr(gpywsgi, name)
