"""The gthread worker's own affairs; test_connection_loop.py has what it shares with the others."""

import contextlib
import math
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from loop_helpers import GET, Threads, hello, read_all

from cyserve.workers.gthread import TConn, ThreadWorker
from cyserve.workers.turns import WAIT

BY_NAME = b"GET /%s HTTP/1.1\r\nHost: h\r\n\r\n"
LONG = 20


@pytest.fixture
def serve(kernel):
    workers = []

    def make(app, **kwargs):
        workers.append(Threads(app, **kwargs))
        return workers[-1]

    yield make
    for worker in workers:
        worker.close()


class Gate:
    """An application whose requests for /stuck wait until it is opened."""

    def __init__(self):
        self.opened = threading.Event()
        self.entered = threading.Semaphore(0)

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/stuck":
            self.entered.release()
            assert self.opened.wait(LONG)
        return hello(environ, start_response)


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.opened.set()


def test_as_many_requests_at_once_as_there_are_threads(serve):
    meeting = threading.Barrier(4)
    names = set()

    def app(environ, start_response):
        meeting.wait(LONG)
        names.add(threading.current_thread().name)
        return hello(environ, start_response)

    worker = serve(app, threads=4).start()
    clients = [worker.client(GET) for _ in range(12)]
    for client in clients:
        assert read_all(client).endswith(b"hello")
    assert names == {f"request_{number}" for number in range(4)}


def test_stuck_requests_leave_the_others_unhurt(serve, gate):
    worker = serve(gate, threads=3).start()
    stuck = [worker.client(BY_NAME % b"stuck") for _ in range(2)]
    for _ in stuck:
        assert gate.entered.acquire(timeout=LONG)
    for _ in range(20):
        assert read_all(worker.client(GET)).endswith(b"hello")
    gate.opened.set()
    for client in stuck:
        assert read_all(client).endswith(b"hello")


def test_a_pipeline_whose_first_request_is_stuck_waits_alone(serve, gate):
    worker = serve(gate, keep_alive=True, threads=2).start()
    pipeline = worker.client(BY_NAME % b"stuck" + GET * 3)
    assert gate.entered.acquire(timeout=LONG)
    other = worker.client(GET, b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert read_all(other).count(b"hello") == 2
    gate.opened.set()
    pipeline.shutdown(socket.SHUT_WR)
    assert read_all(pipeline).count(b"hello") == 4


def test_clients_that_never_send_a_good_request_do_not_keep_the_main_thread_out(serve):
    worker = serve(hello)
    worker.alive = False
    worker.run()  # only for the loop
    loop = worker.loop
    looks = iter(range(1000))

    def take():
        if next(looks) == 100:
            loop.due = 0.0  # what the main thread does to come in
        return [12345]

    loop.due = float("inf")
    loop.poller = SimpleNamespace(take=take)
    assert loop.next() is None
    assert next(looks) <= 102


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_answer_does_not_go_to_the_next_client_with_that_descriptor(serve, when):
    ours, theirs = socket.socketpair()
    numbers = []
    taken = threading.Event()

    def app(environ, start_response):
        sock = environ["gunicorn.socket"]

        def close():
            numbers.append(sock.fileno())
            sock.close()
            os.dup2(ours.fileno(), numbers[0])
            taken.set()

        class Items(list):
            def close(self):
                if when == "after":
                    close()

        if when == "before":
            close()
        start_response("200 OK", [("Content-Length", "6")])
        return Items([b"secret"])

    with ours, theirs:
        theirs.sendall(GET)
        worker = serve(app, threads=1, keep_alive=True).start()
        answer = read_all(worker.client(GET))
        assert answer.endswith(b"secret") if when == "after" else answer == b""
        # accept(2) of a worker that drains has the free number for a moment: dup2 would fail.
        assert taken.wait(LONG)
        worker.stop()
        worker.thread.join(LONG)
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(100)
        assert ours.recv(100) == GET
        os.close(numbers[0])


class TestSubclass:
    @pytest.fixture
    def serve(self, serve):
        def make(handle_request, **kwargs):
            worker = serve(hello, keep_alive=True, threads=2, **kwargs)
            worker.handle_request = lambda req, conn: handle_request(worker, req, conn)
            return worker.start()

        return make

    def test_it_gets_request_and_connection(self, serve):
        def handle_request(worker, req, conn):
            assert isinstance(conn, TConn)
            seen.append((req.path, conn.client, conn.server, conn.sock.fileno(), conn.timeout))
            return ThreadWorker.handle_request(worker, req, conn)

        seen = []
        worker = serve(handle_request)
        client = worker.client(GET + GET)
        client.shutdown(socket.SHUT_WR)
        assert read_all(client).count(b"hello") == 2
        peer = client.getsockname()
        assert seen == [("/", peer, worker.address, seen[0][3], None)] * 2

    @pytest.mark.parametrize("error", [RuntimeError, SystemExit, KeyboardInterrupt])
    def test_its_failure_ends_the_connection_and_no_thread(self, serve, error):
        def handle_request(worker, req, conn):
            if req.path == "/fail":
                raise error("on purpose")
            return ThreadWorker.handle_request(worker, req, conn)

        worker = serve(handle_request)
        for _ in range(4):
            wire = read_all(worker.client(BY_NAME % b"fail" + GET))
            assert wire.startswith(b"HTTP/1.1 500 ")
            assert wire.count(b"HTTP/1.1") == 1
            client = worker.client(GET)
            client.shutdown(socket.SHUT_WR)
            assert read_all(client).endswith(b"hello")
        assert worker.log.lines == [("exception", "Exception while handling a request")] * 4

    def test_its_failure_after_the_answer_ends_the_connection(self, serve):
        def handle_request(worker, req, conn):
            ThreadWorker.handle_request(worker, req, conn)
            raise RuntimeError("too late")

        wire = read_all(serve(handle_request).client(GET + GET))
        assert wire.endswith(b"hello")
        assert wire.count(b"HTTP/1.1") == 1

    def test_it_may_end_the_connection(self, serve):
        def handle_request(worker, req, conn):
            ThreadWorker.handle_request(worker, req, conn)
            return False

        assert read_all(serve(handle_request).client(GET + GET)).count(b"hello") == 1

    def test_it_may_answer_by_itself(self, serve):
        def handle_request(worker, req, conn):
            conn.sock.send(b"own words")

        assert read_all(serve(handle_request).client(GET + GET)) == b"own words"


def test_threads_of_a_pool(serve):
    names = []

    def app(environ, start_response):
        names.append(threading.current_thread().name)
        return hello(environ, start_response)

    worker = serve(app, threads=2)
    worker.tpool = ThreadPoolExecutor(2, thread_name_prefix="mine")
    worker.start()
    assert read_all(worker.client(GET)).endswith(b"hello")
    assert names[0].startswith("mine")


@pytest.mark.parametrize("pool", [False, True])
def test_threads_that_are_stuck_are_left_behind(serve, gate, pool):
    worker = serve(gate, threads=4, graceful_timeout=0.2)
    if pool:
        worker.tpool = ThreadPoolExecutor(4)
    worker.start()
    worker.client(BY_NAME % b"stuck")
    worker.client(BY_NAME % b"stuck")
    for _ in range(2):
        assert gate.entered.acquire(timeout=LONG)
    worker.stop()
    worker.thread.join(LONG)
    assert not worker.thread.is_alive()
    assert worker.threads_left == 2
    with worker.lock:
        gate.opened.set()
        assert worker.wanted.wait_for(lambda: not worker.threads_left, LONG)
    worker.loop.close()
    for fd in (worker.loop.wake_fd, worker.wake_write):
        os.close(fd)


class BrokenTurns:
    """Turns with a bug."""

    def __init__(self, turns):
        self.turns = turns

    def __getattr__(self, name):
        return getattr(self.turns, name)

    def wake(self, thread, now):
        raise RuntimeError("a bug")


def test_an_error_of_ours_ends_the_worker_and_is_logged(serve):
    worker = serve(hello, threads=2).start()
    assert read_all(worker.client(GET)).endswith(b"hello")
    worker.turns = BrokenTurns(worker.turns)
    while worker.alive:  # a thread that is still awake serves what comes
        with contextlib.suppress(OSError):
            read_all(worker.client(GET))
    worker.thread.join(LONG)
    assert not worker.thread.is_alive()
    assert not worker.alive
    assert ("exception", f"Exception in a thread of {worker}") in worker.log.lines


def test_nobody_sleeps_while_something_is_left_to_do():
    worker = SimpleNamespace(
        crew=SimpleNamespace(stopping=False),
        turns=SimpleNamespace(rest=lambda thread, now: WAIT, active=0),
        poller=SimpleNamespace(),  # it cannot wait
        lock=None,
    )
    loop = SimpleNamespace(ready=[object()], arrivals=(), wake_at=lambda: math.inf)
    assert ThreadWorker._sleep(worker, 0, loop) is True


def test_how_things_stand(serve, gate):
    worker = serve(gate, keep_alive=True, threads=3, worker_connections=50)
    assert (worker.nr_conns, list(worker.keepalived_conns)) == (0, [])
    worker.start()
    assert (worker.worker_connections, worker.max_keepalived) == (50, 47)
    worker.client()
    client = worker.client(GET)
    client.recv(4096)
    worker.client(BY_NAME % b"stuck")
    assert gate.entered.acquire(timeout=LONG)
    while worker.nr_conns < 3:
        os.sched_yield()
    assert [conn.client for conn in worker.pending_conns] == [worker.clients[0].getsockname()]
    while [conn.client for conn in worker.keepalived_conns] != [client.getsockname()]:
        os.sched_yield()


def test_accepting_can_be_switched_off(serve):
    worker = serve(hello, keep_alive=True).start()
    first = worker.client(GET)
    assert first.recv(4096).endswith(b"hello")
    worker.set_accept_enabled(False)
    with worker.lock:  # now no thread is where it has asked already
        pass
    second = worker.client(GET)
    second.settimeout(0.2)
    with pytest.raises(TimeoutError):
        second.recv(1)
    first.send(GET)
    assert first.recv(4096).endswith(b"hello")
    worker.set_accept_enabled(True)
    second.settimeout(LONG)
    assert second.recv(4096).endswith(b"hello")


@pytest.mark.parametrize(
    ("connections", "threads", "keepalive", "warns"),
    [(1000, 4, 2, False), (4, 4, 2, True), (3, 4, 2, True), (4, 4, 0, False), (5, 4, 2, False)],
)
def test_settings_that_leave_no_room_for_idle_connections(connections, threads, keepalive, warns):
    lines = []
    cfg = SimpleNamespace(worker_connections=connections, threads=threads, keepalive=keepalive)
    ThreadWorker.check_config(cfg, SimpleNamespace(warning=lines.append))
    assert bool(lines) is warns
    for line in lines:
        assert line.startswith("No keepalived connections can be handled. Check the number of ")
