"""The tornado worker: tornado's own HTTP server on our listeners, in our worker process.

Native applications (`tornado.web.Application`, routers) run as they are, WSGI applications in a
`WSGIContainer`. Requests are parsed and answered by tornado: none of our parser rules, request
hooks or access log holds here. What this room adds is the life of a worker: heartbeat, signals,
max_requests, and a stop that lets running requests come to their end.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable
from typing import Any

try:
    import tornado
    import tornado.httputil as httputil
    from tornado.httpserver import HTTPServer
    from tornado.ioloop import IOLoop, PeriodicCallback
    from tornado.web import RequestHandler
    from tornado.wsgi import WSGIContainer
except ImportError as exc:
    raise RuntimeError(f"the tornado worker needs tornado 6.5 or newer: {exc}") from None

from cyserve import SERVER_SOFTWARE
from cyserve.workers.base import Worker

if tornado.version_info < (6, 5):
    raise RuntimeError(
        f"the tornado worker needs tornado 6.5 or newer, and {tornado.version} is installed"
    )

TICK = 1.0  # seconds between heartbeats
STOP_SECONDS = 1.0  # for a connection without a request when the worker stops
_STOP_STEP = 0.02  # seconds between looks at what still runs
_QUEUE_TURNS = 64  # turns of the loop in which a stopping worker empties the listen queue

_BANNER = f"TornadoServer/{tornado.version}"


class TornadoWorker(Worker):
    """Runs a tornado HTTP server on tornado's loop, which is asyncio's."""

    serves_tls = True

    server: Server
    ioloop: IOLoop

    @classmethod
    def setup(cls) -> None:
        """Sign the Server field of native applications that left tornado's own."""
        clear: Any = RequestHandler.clear
        if hasattr(clear, "signed"):
            return

        def signed_clear(self: RequestHandler) -> None:
            clear(self)
            if self._headers.get("Server") == _BANNER:
                self.set_header("Server", f"{_BANNER} ({SERVER_SOFTWARE})")

        vars(signed_clear)["signed"] = True
        RequestHandler.clear = signed_clear

    def init_process(self) -> None:
        # Made before the application is loaded, which may put callbacks on the current loop.
        self.ioloop = IOLoop()
        self.stopping = False
        super().init_process()

    def run(self) -> None:
        app = self.wsgi
        if not isinstance(app, httputil.HTTPServerConnectionDelegate):
            app = WSGIContainer(app)
        keepalive = self.cfg.keepalive
        self.server = Server(
            app,
            worker=self,
            ssl_options=None if self.certificates is None else self.certificates.context,
            no_keep_alive=keepalive <= 0,
            idle_connection_timeout=keepalive if keepalive > 0 else self.cfg.client_header_timeout,
        )
        self.server.add_sockets([listener.sock for listener in self.sockets])
        self.ioloop.add_handler(self.PIPE[0], self._woken, IOLoop.READ)
        tick = min(TICK, self.timeout or TICK)
        for callback in (self.watchdog, self.heartbeat):
            PeriodicCallback(callback, tick * 1000).start()
        self.notify()
        self.ioloop.start()

    def watchdog(self) -> None:
        """Show life to the master, and stop when it is gone; look for new certificates."""
        self.notify()
        if self.certificates is not None:
            self.certificates.refresh()
            self.server.ssl_options = self.certificates.context
        if self.alive and not self.is_parent_alive():
            self.log.info("Parent changed, shutting down: %s", self)
            self.alive = False

    def heartbeat(self) -> None:
        """Begin to stop when the worker was told to."""
        self.slot.connections = len(self.server.open)
        if not self.alive and not self.stopping:
            self.stopping = True
            self.ioloop.add_callback(self._stop)

    def handle_request(self) -> None:
        """Count a request, and stop after the last one that this worker may serve."""
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
            self.ioloop.add_callback(self.heartbeat)

    def _woken(self, fd: int, events: int) -> None:
        """A signal has come; its handler has run."""
        try:
            os.read(fd, 4096)
        except BlockingIOError:
            pass
        self.heartbeat()

    async def _stop(self) -> None:
        """Take what is queued, let requests end for graceful_timeout, then end the loop."""
        server = self.server
        end = time.monotonic() + self.cfg.graceful_timeout
        server.conn_params.no_keep_alive = True
        for _ in range(_QUEUE_TURNS):
            if not any(listener.get_backlog() > 0 for listener in self.sockets):
                break
            await asyncio.sleep(0)
        server.stop()
        idle_end = min(end, time.monotonic() + STOP_SECONDS)
        await asyncio.sleep(_STOP_STEP)  # just accepted ones are known in the next turn
        while server.open and time.monotonic() < idle_end:
            await asyncio.sleep(_STOP_STEP)
        for connection in server.open - server.busy:
            connection.stream.close()
        while server.busy and time.monotonic() < end:
            await asyncio.sleep(_STOP_STEP)
        self.ioloop.stop()


class Server(HTTPServer):
    """tornado's server, which also knows its connections and which of them have a request."""

    def initialize(self, *args: Any, worker: TornadoWorker, **kwargs: Any) -> None:
        self.worker = worker
        self.open: set[Any] = set()
        self.busy: set[Any] = set()
        super().initialize(*args, **kwargs)

    def start_request(
        self, server_conn: Any, request_conn: httputil.HTTPConnection
    ) -> httputil.HTTPMessageDelegate:
        """Called for a new connection, and again when a request has been answered."""
        self.open.add(server_conn)
        self.end_request(server_conn)
        return _Watch(self, server_conn, super().start_request(server_conn, request_conn))

    def begin_request(self, connection: Any, line: bytes) -> None:
        self.busy.add(connection)
        self.worker.slot.begin(line)
        self.worker.handle_request()

    def end_request(self, connection: Any) -> None:
        self.busy.discard(connection)
        if not self.busy:
            self.worker.slot.end()

    def on_close(self, server_conn: Any) -> None:
        self.open.discard(server_conn)
        self.end_request(server_conn)
        super().on_close(server_conn)


class _Watch(httputil.HTTPMessageDelegate):
    """Passes everything on and tells the server when a request begins."""

    def __init__(
        self, server: Server, connection: Any, delegate: httputil.HTTPMessageDelegate
    ) -> None:
        self.server = server
        self.connection = connection
        self.delegate = delegate
        self.data_received = delegate.data_received
        self.finish = delegate.finish
        self.on_connection_close = delegate.on_connection_close

    def headers_received(self, start_line: Any, headers: Any) -> Awaitable[None] | None:
        line = f"{start_line.method} {start_line.path} {start_line.version}"
        self.server.begin_request(self.connection, line.encode("latin-1", "replace"))
        result: Awaitable[None] | None = self.delegate.headers_received(start_line, headers)
        return result
