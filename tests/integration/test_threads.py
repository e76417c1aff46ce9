"""The gthread worker in real processes: concurrency, stopping, signals, hooks, subclasses."""

import os
import re
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from signal import SIGABRT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1

import pytest
from harness import differs, is_oracle, is_running, wait_for
from http_client import BrokenResponse, request, request_bytes

CLOSE = [("Connection", "close")]


@pytest.fixture
def start(start_server):
    """Starts gthread workers with four threads each."""

    def start(*args, app="threaded:app", threads=4, **options):
        return start_server(app, "-k", "gthread", "--threads", str(threads), *args, **options)

    return start


def send(server, target, headers=()):
    return server.connect().send(request_bytes(target, headers=headers))


def begin(server, name, seconds):
    """A request that the application is at work on when this returns."""
    client = send(server, f"/say-and-sleep?name={name}&s={seconds}")
    server.wait_log(f"^{name} begins")
    return client


class Load:
    """Clients in closed loops; `keep` says whether they keep their connections as long as they may.

    `lost` says what went wrong: every request must be answered with 200.
    """

    def __init__(self, address, clients, keep, target):
        self.keep = keep
        self.target = target
        self.address = address
        self.stop = threading.Event()
        self.answers = 0
        self.pids = set()
        self.lost = []
        self.threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def _run(self):
        from http_client import Client

        while not self.stop.is_set():
            try:
                with Client(self.address) as client:
                    self._converse(client)
            except (OSError, BrokenResponse) as exc:
                self.lost.append(repr(exc))

    def _converse(self, client):
        again = True
        while again:
            again = self.keep and not self.stop.is_set()
            client.send(request_bytes(self.target, headers=() if again else CLOSE))
            response = client.read_response()
            if response.status != 200:
                self.lost.append(response.status)
            self.pids.add(int(response.text.split()[2]))
            self.answers += 1
            again = again and response.header("Connection") != "close"

    def wait_for_more(self, count=100):
        goal = self.answers + count
        wait_for(lambda: self.answers >= goal, f"{count} more answers")


@contextmanager
def load_on(server, keep, clients=8, target="/sleep?s=0.003"):
    load = Load(server.address, clients, keep, target)
    for thread in load.threads:
        thread.start()
    try:
        load.wait_for_more()
        yield load
        load.wait_for_more()
    finally:
        load.stop.set()
        for thread in load.threads:
            thread.join()
    assert load.lost == []


# -- serving --


def test_threads_make_a_sync_worker_gthread(start_server):
    server = start_server("threaded:app", "--threads", "2")
    server.wait_log("Using worker: gthread")
    assert server.request("/multithread").text == "True"


def test_one_thread_is_multithread_too(start):
    assert start(threads=1).request("/multithread").text == "True"


def test_as_many_requests_at_once_as_there_are_threads(start):
    server = start()
    for _ in range(3):
        for client in [send(server, "/meet") for _ in range(4)]:
            with client:
                assert client.read_response().status == 200


def test_a_stuck_request_leaves_the_others_unhurt(start):
    server = start(threads=2)
    with begin(server, "stuck", 1000), server.connect() as client:
        for _ in range(50):
            client.send(request_bytes("/"))
            assert client.read_response().status == 200


def test_keep_alive_until_the_client_is_idle_for_too_long(start):
    server = start("--keep-alive", "3")
    with server.connect() as client:
        for _ in range(3):
            client.send(request_bytes("/"))
            response = client.read_response()
            assert response.header("Connection") == "keep-alive"
        assert client.read_to_eof() == b""


@pytest.mark.parametrize("target", ["/exit", "/odd"])
@differs("system-exit", "os-errors")
def test_whatever_the_application_raises_the_worker_lives_on(start, target):
    server = start(threads=2)
    [pid] = server.worker_pids()
    for _ in range(5):
        assert server.request(target).status == 500
    assert server.request("/").text.split()[2] == str(pid)
    assert server.log_text().count(f"Error handling request GET {target}\n") == 5


def test_hooks_and_access_log_of_requests_in_threads(start):
    config = """
def pre_request(worker, req):
    worker.log.info("before %s", req.path)
def post_request(worker, req, environ, resp):
    worker.log.info("after %s %s", environ["PATH_INFO"], resp.status)
"""
    server = start("--access-logfile", "-", config=config)
    with load_on(server, keep=True, target="/x") as load:
        pass
    for text in ("before /x$", "after /x 200 OK$", '"GET /x HTTP/1.1" 200 '):
        server.wait_log(text, load.answers)
        assert len(re.findall(text, server.log_text(), re.MULTILINE)) == load.answers


# -- life and death --


def test_a_request_may_take_longer_than_the_timeout(start):
    server = start("--timeout", "3")
    with begin(server, "long", 5) as client:
        assert client.read_response().status == 200
    assert "TIMEOUT" not in server.log_text()


def test_a_worker_whose_gil_is_held_is_replaced(start):
    server = start("--timeout", "1")
    [old] = server.worker_pids()
    with send(server, "/hold"):
        server.wait_log("holding")
        server.wait_log(rf"WORKER TIMEOUT \(pid:{old}\)")
        assert server.wait_workers(1, but_not=[old])


@pytest.mark.parametrize("keep", [False, True])
def test_hup_loses_no_request(start, keep):
    server = start(workers=2)
    with load_on(server, keep) as load:
        for _ in range(3):
            old = server.worker_pids()
            server.signal(SIGHUP)
            new = server.wait_workers(2, but_not=old)
            load.wait_for_more(200)
    assert load.pids & set(new)
    assert "Traceback" not in server.log_text()


@pytest.mark.parametrize("keep", [False, True])
def test_max_requests_loses_no_request(start, keep):
    server = start("--max-requests", "50", workers=2)
    with load_on(server, keep) as load:
        wait_for(lambda: len(load.pids) >= 8, "many generations of workers")
    assert "exited with code" not in server.log_text()


@pytest.mark.parametrize("number", [SIGTERM, SIGHUP])
def test_what_runs_is_finished_by_the_leaving_worker(start, number):
    server = start()
    [worker] = server.worker_pids()
    with begin(server, "running", 1) as client:
        server.signal(number)
        assert client.read_response().status == 200
    wait_for(lambda: not is_running(worker), "the worker to leave")
    if number == SIGTERM:
        assert server.wait_exit() == 0


HOOKS = """
def worker_int(worker):
    print("worker_int", flush=True)
def worker_abort(worker):
    print("worker_abort", flush=True)
def worker_exit(server, worker):
    print("worker_exit", flush=True)
def post_worker_init(worker):
    import atexit
    atexit.register(print, "exit function", flush=True)
"""

POOL = """
from concurrent.futures import ThreadPoolExecutor
from WHERE.workers.gthread import ThreadWorker
class PoolWorker(ThreadWorker):
    def get_thread_pool(self):
        return ThreadPoolExecutor(self.cfg.threads)
""".replace("WHERE", "gunicorn" if is_oracle() else "cyserve")


@differs("gthread-stop")
@pytest.mark.parametrize("worker_class", ["gthread", "pool.PoolWorker"])
@pytest.mark.parametrize("number", [SIGINT, SIGQUIT])
def test_quit_ends_a_worker_with_busy_threads_at_once(start_server, number, worker_class):
    args = ("-k", worker_class, "--threads", "3")
    server = start_server("threaded:app", *args, config=HOOKS, files={"pool.py": POOL})
    with begin(server, "stuck", 1000):
        start = time.monotonic()
        assert server.stop(number) == 0
        assert time.monotonic() - start < 10  # graceful_timeout is 30
    assert re.findall(r"^(?:worker_|exit ).*", server.log_text(), re.MULTILINE) == [
        "worker_int",
        "worker_exit",
        "exit function",
    ]


@differs("gthread-stop")
def test_term_with_a_stuck_thread_ends_after_graceful_timeout(start):
    server = start("--graceful-timeout", "3", config=HOOKS)
    [worker] = server.worker_pids()
    with begin(server, "stuck", 1000):
        start = time.monotonic()
        # The worker alone: its master would kill it a quarter of a second after its own end.
        server.signal(SIGTERM, worker)
        server.wait_workers(1, but_not=[worker])
        assert time.monotonic() - start > 2
    assert re.findall(r"^(?:worker_|exit ).*", server.log_text(), re.MULTILINE) == [
        "worker_exit",
        "exit function",
    ]


def test_abrt(start):
    server = start(config=HOOKS)
    [old] = server.worker_pids()
    os.kill(old, SIGABRT)
    server.wait_workers(1, but_not=[old])
    server.wait_log("^worker_abort")
    server.wait_log("^worker_exit")


def test_usr1_opens_the_logs_anew_beside_busy_threads(start):
    server = start("--access-logfile", "access.log")
    access = server.directory / "access.log"
    with begin(server, "busy", 2) as client:
        os.rename(access, server.directory / "access.log.1")
        server.signal(SIGUSR1)
        wait_for(access.exists, "a new access log")
        assert client.read_response().status == 200
        wait_for(lambda: "/say-and-sleep" in access.read_text(), "the line in it")


# Fatal errors of daemon threads, sockets left open and the like would be in the log.
@pytest.mark.parametrize("busy", [False, True])
def test_the_end_is_clean(start, busy):
    server = start(env={"PYTHONDEVMODE": "1"})
    with server.connect() as client:
        client.send(request_bytes("/"))
        assert client.read_response().status == 200
        if busy:
            with load_on(server, keep=True):
                pass
        assert server.stop(SIGTERM) == 0
    log = server.log_text()
    assert not re.search("Warning|Fatal|Traceback|Exception", log)


@differs("idle-sleep")
@pytest.mark.parametrize("stuck", [0, 1, 4])
def test_an_idle_worker_sleeps(start, stuck):
    """At most two wake-ups a second, also beside requests that only wait for something."""
    server = start()
    assert server.request("/").status == 200
    clients = [begin(server, f"stuck{number}", 1000) for number in range(stuck)]
    [pid] = server.worker_pids()

    def wake_ups():
        statuses = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/status")]
        return sum(int(re.search(r"^voluntary\D*(\d+)", s, re.M)[1]) for s in statuses)

    def idle():
        before = wake_ups()
        time.sleep(2)
        return wake_ups() - before <= 4

    assert idle() or idle()
    for client in clients:
        client.sock.close()


# -- subclasses --

SUBCLASS = """
import signal, threading
from concurrent.futures import ThreadPoolExecutor
from WHERE.workers.gthread import ThreadWorker

def say(*words):
    print(*words, flush=True)

class MyWorker(ThreadWorker):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        say("made", self.worker_connections, self.max_keepalived)

    def get_thread_pool(self):
        return ThreadPoolExecutor(self.cfg.threads, thread_name_prefix="mine")

    def init_process(self):
        say("init_process")
        super().init_process()

    def run(self):
        say("run", self.tpool is not None, self.nr_conns, len(self.keepalived_conns))
        super().run()
        say("ran")

    def handle_exit(self, sig, frame):
        say("handle_exit", sig == signal.SIGTERM)
        super().handle_exit(sig, frame)

    def handle_request(self, req, conn):
        name = threading.current_thread().name.partition("-")[0].partition("_")[0]
        say("request", req.path, conn.client[0], conn.server[0], conn.sock.fileno() > 0, name)
        if req.path == "/fail":
            raise RuntimeError("on purpose")
        keep = super().handle_request(req, conn)
        say("handled", keep, self.nr_conns)
        return keep
"""


def test_a_subclass(start_server):
    text = SUBCLASS.replace("WHERE", "gunicorn" if is_oracle() else "cyserve")
    server = start_server(
        "threaded:app", "-k", "mine.MyWorker", "--threads", "3", files={"mine.py": text}
    )
    with server.connect() as client:
        client.send(request_bytes("/a"))
        assert client.read_response().status == 200
        server.wait_log("^handled")
    server.wait_log("^request /a")
    with server.connect() as client:
        client.send(request_bytes("/fail"))
        assert client.read_response().status == 500
    assert request(server.address, "/b", headers=CLOSE).status == 200
    server.wait_log("^handled False 1\n")  # whole, before the handler of TERM prints too
    assert server.stop() == 0
    lines = [line for line in server.log_text().splitlines() if not line.startswith(("[", " "))]
    seen = [line for line in lines if re.match("made|init|run|ran|handle|request", line)]
    assert seen == [
        "made 1000 997",
        "init_process",
        "run True 0 0",
        "request /a 127.0.0.1 127.0.0.1 True mine",
        "handled True 1",
        "request /fail 127.0.0.1 127.0.0.1 True mine",
        "request /b 127.0.0.1 127.0.0.1 True mine",
        "handled False 1",
        "handle_exit True",
        "ran",
    ]
