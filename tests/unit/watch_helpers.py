"""What the tests of the request watch share: a worker with a clock, an application that waits.

The clock is the test's own wherever time matters, and `look` is called by hand; the application
runs in a thread of the test.
"""

import os
import threading
import time
from types import SimpleNamespace

from http_helpers import Log, Peer

from cyserve.http.connection import READ, RUN
from cyserve.http.cycle import Cycle
from cyserve.scoreboard import Scoreboard, Serving
from cyserve.workers import base
from cyserve.workers.request_watch import RequestWatch

GET = b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n"


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Unable:
    """An interrupter that cannot interrupt, and remembers what it was asked."""

    parallel = True

    def __init__(self):
        self.asked = []

    def current(self):
        return threading.get_ident()

    def describe(self, runner):
        return "thread:test"

    def frame(self, runner):
        return None

    def alone(self, runner):
        return False

    def interrupt(self, runner):
        self.asked.append(("interrupt", runner))

    def withdraw(self, runner):
        self.asked.append(("withdraw", runner))


class Worker(Serving):
    """As much of a workers.base.Worker as the cycle and the watch use."""

    handle_error = base.Worker.handle_error
    own_handle_error = base.Worker.own_handle_error

    def __init__(self, app, *, interrupter=None, clock=None, limit=2):
        self.accessed = []
        self.posted = []
        self.log = Log()
        self.log.error_log = SimpleNamespace(isEnabledFor=lambda level: False)
        self.log.access_log_enabled = True
        self.log.access = lambda resp, req, environ, took: self.accessed.append(
            (resp.status, resp.sent, req.uri, environ["PATH_INFO"], took.total_seconds())
        )
        self.cfg = SimpleNamespace(
            request_timeout=limit,
            graceful_timeout=30,
            send_timeout=5,
            sendfile=True,
            is_ssl=False,
            pre_request=None,
            post_request=lambda worker, req, environ, resp: self.posted.append(resp.status),
            settings={n: SimpleNamespace(default=None) for n in ("pre_request", "post_request")},
        )
        self.wsgi = app
        self.pid = 4711
        self.alive, self.leaving = True, False
        self.nr, self.max_requests = 0, 1 << 60
        self.slot = Scoreboard(1).claim()
        self.unwatched = []
        self.unwatch = self.unwatched.append
        self.lost = []
        self.lose = self.lost.append
        self.PIPE = os.pipe()
        os.set_blocking(self.PIPE[0], False)
        self.clock = clock or Clock()
        self.watch = RequestWatch(self, interrupter or Unable(), self.clock)
        self.cycle = Cycle(self, keep_alive=True)
        self.peers = []
        self.threads = []
        self.raised = []

    def peer(self, request=GET):
        peer = Peer(request)
        peer.client.settimeout(10)
        self.peers.append(peer)
        step = peer.connection.start(time.monotonic())
        while step == READ:
            step = peer.connection.proceed(time.monotonic())
        assert step == RUN
        return peer

    def start(self, peer):
        """Run the peer's request in a thread."""

        def run():
            try:
                self.cycle.run(peer.connection.request)
            except BaseException as exc:
                self.raised.append(exc)

        thread = threading.Thread(target=run)
        thread.start()
        self.threads.append(thread)
        return thread

    def errors(self):
        return [text for level, text in self.log.lines if level == "error"]

    def close(self):
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()
        for peer in self.peers:
            peer.close()
        for fd in self.PIPE:
            os.close(fd)


class GoOn(threading.Event):
    """Whoever waits for it is inside; so it is there that he is found."""

    def __init__(self, inside):
        super().__init__()
        self.inside = inside

    def wait(self, timeout=None):
        self.inside.set()
        return super().wait(timeout)


class App:
    """An application that waits inside until the test lets it go on.

    before, after: called with (environ, start_response) on either side of the wait; what `after`
    returns is the answer.
    """

    def __init__(self, before=None, after=None):
        self.before, self.after = before, after
        self.inside = threading.Event()
        self.go_on = GoOn(self.inside)
        self.environ = None

    def __call__(self, environ, start_response):
        self.environ = environ
        if self.before is not None:
            self.before(environ, start_response)
        assert self.go_on.wait(10)
        if self.after is not None:
            return self.after(environ, start_response)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]


def read_to_eof(client):
    pieces = []
    while piece := client.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def overdue(worker, peer, app, seconds=2.5):
    """Run the peer's request until it is inside, and let the watch find it overdue."""
    thread = worker.start(peer)
    assert app.inside.wait(10)
    worker.clock.now += seconds
    worker.watch.look()
    return thread
