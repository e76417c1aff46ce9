"""Worker classes of users: overriding what gunicorn's workers do, and whole ones of their own."""

from signal import SIGABRT, SIGHUP, SIGINT, SIGUSR1

import pytest
from harness import differs

APP = """
import os
def app(environ, start_response):
    body = f"{os.getpid()} {environ['wsgi.multiprocess']}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

# A background thread, a clean-up, a signal handler: what people put around a worker's life.
AROUND = """
import threading
from gunicorn.workers.{module} import {base}

class Around({base}):
    @classmethod
    def setup(cls):
        super().setup() if hasattr(super(), "setup") else None
        print("setup", flush=True)

    @classmethod
    def check_config(cls, cfg, log):
        log.info("check_config with %s workers", cfg.workers)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.beats = 0
        self.done = threading.Event()

    def init_process(self):
        self.log.info("before: booted %s", self.booted)
        super().init_process()

    def load_wsgi(self):
        super().load_wsgi()
        inner = self.wsgi
        def with_age(environ, start_response):
            return [f"{{self.age}}: ".encode(), *inner(environ, lambda s, h: start_response(s, []))]
        self.wsgi = with_age

    def init_signals(self):
        super().init_signals()
        self.log.info("signals %s", len(self.SIGNALS))

    def run(self):
        threading.Thread(target=self.work).start()
        try:
            super().run()
        finally:
            self.done.set()

    def work(self):
        self.done.wait()
        self.log.info("thread ends; beats: %s; alive: %s", self.beats > 0, self.alive)

    def notify(self):
        self.beats += 1
        super().notify()

    def handle_exit(self, sig, frame):
        self.log.info("told to stop, %s served", self.nr)
        super().handle_exit(sig, frame)

    def handle_usr1(self, sig, frame):
        super().handle_usr1(sig, frame)
        self.log.info("logs are open anew")
"""

BASES = {
    "sync": ("sync", "SyncWorker"),
    "gthread": ("gthread", "ThreadWorker"),
    "gevent": ("ggevent", "GeventWorker"),
}


@pytest.mark.parametrize("kind", list(BASES))
def test_what_is_put_around_a_workers_life(start_server, kind):
    module, base = BASES[kind]
    files = {"shop.py": APP, "around.py": AROUND.format(module=module, base=base)}
    server = start_server("shop:app", "-k", "around.Around", workers=2, files=files)
    old = server.worker_pids()
    assert "check_config with 2 workers" in server.log_text()
    assert server.log_text().count("before: booted False") == 2
    server.wait_log("signals 9", count=2)
    age, pid = server.request("/").body.split(b": ")
    assert age in (b"1", b"2")
    assert int(pid.split()[0]) in old
    server.signal(SIGUSR1)
    server.wait_log("logs are open anew", count=2)
    server.signal(SIGHUP)
    server.wait_workers(2, but_not=old)
    server.wait_log("told to stop, 1 served")
    server.wait_log("thread ends; beats: True; alive: False", count=2)
    assert server.request("/").body[:1] in b"34"
    assert server.stop() == 0
    assert "Traceback" not in server.log_text()


# The standard library's server in a worker: the whole of what a worker needs to be.
OWN = """
import os
import time
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from gunicorn.workers.base import Worker

class Handler(WSGIRequestHandler):
    def log_message(self, format, *args):
        self.server.worker.log.info("own: " + format, *args)

class OwnWorker(Worker):
    def run(self):
        listener = self.sockets[0]
        server = WSGIServer(listener.getsockname(), Handler, bind_and_activate=False)
        server.socket.close()
        server.socket, server.worker, server.timeout = listener, self, self.timeout
        server.server_name, server.server_port = listener.getsockname()
        server.setup_environ()
        server.set_app(self.wsgi)
        while self.alive:
            self.notify()
            if self.ppid != os.getppid():
                self.log.info("Parent changed, shutting down: %s", self)
                return
            server.handle_request()
            self.nr += 1
            if os.path.exists("silent"):
                time.sleep(1000)
"""


@differs("reload-overlap")
def test_a_worker_of_ones_own(start_server):
    files = {"shop.py": APP, "own.py": OWN}
    server = start_server("shop:app", "-k", "own.OwnWorker", "-t", "5", workers=2, files=files)
    old = server.worker_pids()
    assert int(server.request("/pot").body.split()[0]) in old
    server.wait_log(r'own: "GET /pot HTTP/1\.1" 200')
    server.signal(SIGHUP)
    server.wait_log("Reloaded: 2 new workers are ready")
    new = server.wait_workers(2, but_not=old)
    served = int(server.request("/").body.split()[0])
    (idle,) = set(new) - {served}  # wsgiref swallows what is raised while it ends a request
    server.signal(SIGABRT, idle)  # its handler is Worker's
    server.wait_log(rf"pid:{idle}\) exited with code 1")
    newer = server.wait_workers(2, but_not=[idle])
    (server.directory / "silent").touch()
    for pid in newer:
        server.wait_log(rf"WORKER TIMEOUT \(pid:{pid}\)")
    (server.directory / "silent").unlink()
    server.wait_workers(2, but_not=newer)
    assert server.request("/").status == 200
    assert server.stop(SIGINT) == 0
