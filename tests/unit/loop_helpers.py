"""A worker that is as much of one as the connection loop needs; an application, and a client."""

import os
import socket
import threading
from types import SimpleNamespace

from http_helpers import Log, settings

from cyserve.http.cycle import Cycle
from cyserve.http.transport import PollWaiter
from cyserve.scoreboard import Scoreboard, Serving
from cyserve.workers import gthread
from cyserve.workers.base import Worker
from cyserve.workers.connection_loop import ConnectionLoop
from cyserve.workers.gthread import ThreadWorker

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"

gthread.LEAVE_SECONDS = 20.0  # a busy machine may stop a thread on its way home


class Listener:
    """As much of a cyserve.sock listener as the loop uses."""

    def __init__(self):
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.sock.setblocking(False)
        self.fileno = self.sock.fileno
        self.getsockname = self.sock.getsockname
        self.close = self.sock.close
        self.queued = -1

    def get_backlog(self):
        return self.queued


class Worker(Serving):
    """As much of a workers.base.Worker as the loop and the cycle use; one thread serves."""

    loop = None

    def __init__(self, app, *, keep_alive=False, **changes):
        self.keep_alive = keep_alive
        values = {
            "threads": 4,
            "postpone_output": 131072,
            "worker_connections": 100,
            "graceful_timeout": 5,
            "pre_request": None,
            "post_request": None,
        }
        self.cfg = settings(**{**values, **changes})
        self.cfg.settings = {
            name: SimpleNamespace(default=None) for name in ("pre_request", "post_request")
        }
        self.log = Log()
        self.log.error_log = SimpleNamespace(isEnabledFor=lambda level: False)
        self.log.access_log_enabled = False
        self.wsgi = app
        self.certificates = None
        self.alive = True
        self.leaving = False
        self.timeout = 15
        self.watch = None
        self.nr = 0
        self.max_requests = 1 << 60
        self.sockets = [Listener()]
        self.address = self.sockets[0].getsockname()
        self.PIPE = os.pipe()
        for fd in self.PIPE:
            os.set_blocking(fd, False)
        self.slot = Scoreboard(1, self.cfg.threads).claim()
        self.thread = threading.Thread(target=self.run)
        self.clients = []

    def run(self):
        self.cycle = Cycle(self, keep_alive=self.keep_alive)
        self.loop = ConnectionLoop(self, PollWaiter(self.notify))
        self.loop.run(self.serve)

    def serve(self, connection):
        self.cycle.run(connection.request)

    handle_error = Worker.handle_error
    own_handle_error = Worker.own_handle_error

    def notify(self):
        pass

    def is_parent_alive(self):
        return True

    def start(self):
        self.thread.start()
        return self

    def client(self, *sent):
        client = socket.create_connection(self.address, timeout=10)
        self.clients.append(client)
        for piece in sent:
            client.sendall(piece)
        return client

    def stop(self):
        self.alive = False
        os.write(self.PIPE[1], b".")

    def close(self):
        self.stop()
        for client in self.clients:
            client.close()
        if self.thread.ident:
            self.thread.join(20)
            assert not self.thread.is_alive()
        for fd in self.PIPE:
            os.close(fd)
        self.sockets[0].close()


class Threads(Worker):
    """The same with a ThreadWorker's threads."""

    threads_left = 0
    tpool = None

    def __init__(self, app, *, keep_alive=False, **changes):
        super().__init__(app, keep_alive=keep_alive, **changes)
        if not keep_alive:
            self.cfg.keepalive = 0

    def __getattr__(self, name):
        return getattr(ThreadWorker, name).__get__(self)

    def run(self):
        ThreadWorker.run(self)

    def close(self):
        super().close()
        assert self.threads_left == 0


def hello(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


def read_all(client):
    pieces = []
    while piece := client.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)
