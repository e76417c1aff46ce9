"""gevent's own WSGI server as a worker: its handler signs and logs as gunicorn's does.

None of our engine is used: parser, limits and responses are gevent.pywsgi's, and settings and hooks
about requests do not hold. The names are those that users subclass and find in `ggevent`.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import gevent
from gevent import pywsgi
from gevent.pool import Pool

from cyserve import SERVER_SOFTWARE
from cyserve.http.environ import Endpoint
from cyserve.scoreboard import DRAINING
from cyserve.workers.connection_loop import STOP_SECONDS
from cyserve.workers.ggevent import KILL_SECONDS, STOP_TICK, GeventWorker

VERSION = f"gevent/{gevent.__version__} {SERVER_SOFTWARE}"


_FIXED = (
    "wsgi.version",
    "wsgi.errors",
    "wsgi.multithread",
    "wsgi.multiprocess",
    "wsgi.run_once",
    "wsgi.file_wrapper",
    "wsgi.input_terminated",
)


class GeventResponse:
    """An answer as loggers see it. sent: bytes with the head."""

    def __init__(self, status: str, headers: list[tuple[bytes, bytes]], sent: int) -> None:
        self.status = status
        self.headers = headers
        self.sent = sent


class PyWSGIHandler(pywsgi.WSGIHandler):
    """gevent's handler with our access log and gunicorn's two further keys in the environ."""

    def log_request(self) -> None:
        start = self.time_start
        seconds = (self.time_finish or time.time()) - start
        status = self.status or ""
        if isinstance(status, bytes):
            status = status.decode("latin-1")
        response = GeventResponse(status, self.response_headers, self.response_length)
        fields = self.headers.items() if hasattr(self, "headers") else []
        environ = getattr(self, "environ", None) or self._refused_environ()
        self.server.log.access(response, fields, environ, timedelta(seconds=seconds))

    def _refused_environ(self) -> dict[str, Any]:
        """As much of an environ as there is of a request that could not be read."""
        peer = self.client_address
        return {
            "REMOTE_ADDR": peer[0] if isinstance(peer, tuple) else "",
            "REQUEST_METHOD": "-",
            "RAW_URI": "-",
            "SERVER_PROTOCOL": "-",
        }

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ["gunicorn.sock"] = self.socket
        environ["RAW_URI"] = self.path
        return environ


class PyWSGIServer(pywsgi.WSGIServer):
    """gevent's server, which also knows which of its greenlets have a request."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.busy: set[Any] = set()

    def handle(self, sock: Any, address: Any) -> None:
        handler = self.handler_class(sock, address, self)
        respond = handler.handle_one_response
        greenlet = gevent.getcurrent()

        def watched() -> None:
            self.busy.add(greenlet)
            try:
                respond()
            finally:
                self.busy.discard(greenlet)

        handler.handle_one_response = watched
        handler.handle()


class GeventPyWSGIWorker(GeventWorker):
    """Runs gevent's own WSGI server: its parser, its limits, our life and our access log."""

    server_class = PyWSGIServer
    wsgi_handler = PyWSGIHandler


class Servers:
    """One server per listener for a worker (`GeventWorker`), from start to stop."""

    def __init__(self, worker: Any) -> None:
        self.worker = worker
        self.pool = Pool(worker.cfg.worker_connections)
        self.servers = [self._make(listener) for listener in worker.sockets]

    def _make(self, listener: Any) -> Any:
        worker = self.worker
        template = Endpoint(worker.cfg, listener, multithread=True).template
        environ = {name: template[name] for name in _FIXED}
        environ["SERVER_SOFTWARE"] = VERSION
        tls = worker.certificates
        options = {} if tls is None else {"ssl_context": tls.context}
        server = worker.server_class(
            listener.sock,
            application=worker.wsgi,
            spawn=self.pool,
            log=worker.log,
            handler_class=worker.wsgi_handler,
            environ=environ,
            **options,
        )
        if tls is not None:  # the context of the moment: certificates are renewed
            server.wrap_socket = lambda sock, **how: tls.context.wrap_socket(sock, **how)
        return server

    def run(self) -> None:
        """Serve until the worker is told to stop; then let requests end for graceful_timeout."""
        worker = self.worker
        for server in self.servers:
            server.start()
        while worker.alive:
            worker.watch_over(len(self.pool), worker.tick)
        end = time.monotonic() + worker.cfg.graceful_timeout
        worker.slot.state = DRAINING
        silent_end = min(end, time.monotonic() + STOP_SECONDS)
        for server in self.servers:
            server.close()
        while len(self.pool) and time.monotonic() < end:
            if time.monotonic() >= silent_end:
                self._kill_idle()
            worker.watch_over(len(self.pool), STOP_TICK)
        self.pool.kill(timeout=KILL_SECONDS)

    def _kill_idle(self) -> None:
        """End the connections that have no request. Not those of another kind of server."""
        busy: set[Any] = set()
        for server in self.servers:
            if not isinstance(server, PyWSGIServer):
                return
            busy |= server.busy
        for greenlet in set(self.pool) - busy:
            self.pool.killone(greenlet, block=False)
