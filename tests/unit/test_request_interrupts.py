"""Interruptions of threads: they hit the overdue request or nothing, whatever the timing."""

import signal
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from http_helpers import Peer
from watch_helpers import GET, App, overdue, read_to_eof

from cyserve.http.overdue import RequestOverdue
from cyserve.http.transport import PollWaiter
from cyserve.workers import interrupts
from cyserve.workers.interrupts import ThreadInterrupter


def test_an_endless_loop_is_interrupted_and_the_thread_is_well_afterwards(
    watched_worker, thread_interrupter
):
    caught = []

    def app(environ, start_response):
        try:
            inside.set()
            while True:
                pass
        except BaseException as exc:
            caught.append(type(exc))
            raise

    inside = threading.Event()
    worker = watched_worker(app, interrupter=thread_interrupter)
    peer = worker.peer()
    done = []

    def run():
        worker.cycle.run(peer.connection.request)
        done.extend(range(100_000))  # a late interruption would come here

    thread = threading.Thread(target=run)
    thread.start()
    assert inside.wait(10)
    worker.clock.now += 3
    worker.watch.look()
    thread.join(10)
    assert caught == [RequestOverdue]
    assert len(done) == 100_000


def test_an_interruption_that_did_not_come_through_is_taken_back(
    watched_worker, thread_interrupter
):
    interrupter = thread_interrupter
    app = App()
    worker = watched_worker(app, interrupter=interrupter)
    withdrawn = []
    withdraw = interrupter.withdraw
    interrupter.withdraw = lambda runner: (withdrawn.append(runner), withdraw(runner))
    # The request ends while the watch acts: it has to wait, and then finds the exception pending.
    interrupt = interrupter.interrupt

    def late(runner):
        app.go_on.set()
        ended.wait(0.2)  # it cannot end as long as the watch acts
        assert not ended.is_set()
        interrupt(runner)

    interrupter.interrupt = late
    ended = threading.Event()
    peer = worker.peer()
    survived = []

    def run():
        worker.cycle.run(peer.connection.request)
        ended.set()
        survived.extend(range(100_000))

    thread = threading.Thread(target=run)
    thread.start()
    assert app.inside.wait(10)
    worker.clock.now += 3
    worker.watch.look()
    thread.join(10)
    assert withdrawn
    assert len(survived) == 100_000


def test_the_main_thread_is_woken_from_a_system_call(watched_worker, thread_interrupter):
    def app(environ, start_response):
        timer.start()
        time.sleep(20)

    worker = watched_worker(app, interrupter=thread_interrupter)

    def look():
        worker.clock.now += 3
        worker.watch.look()

    timer = threading.Timer(0.05, look)
    peer = worker.peer()
    begun = time.monotonic()
    worker.cycle.run(peer.connection.request)
    timer.join()
    assert time.monotonic() - begun < 10
    assert worker.posted == ["504 Gateway Timeout"]
    assert thread_interrupter.alone(threading.get_ident())


def test_a_thread_is_woken_from_a_long_wait_for_its_client(watched_worker, thread_interrupter):
    waiting = threading.Event()

    class Waiter(PollWaiter):
        def readable(self, fd, seconds):
            waiting.set()
            return super().readable(fd, seconds)

    def app(environ, start_response):
        environ["wsgi.input"].read()

    worker = watched_worker(app, interrupter=thread_interrupter)
    peer = worker.peer(b"POST /slow HTTP/1.1\r\nContent-Length: 200000\r\n\r\n" + b"x" * 66000)
    peer.transport.waiter = Waiter(lambda: None, interval=60)
    thread = worker.start(peer)
    assert waiting.wait(10)
    worker.clock.now += 3
    worker.watch.look()
    thread.join(10)
    assert not thread.is_alive()
    assert worker.posted == ["504 Gateway Timeout"]


@pytest.mark.usefixtures("thread_interrupter")
def test_a_sigurg_handler_of_the_applications_own_is_left_alone(monkeypatch):
    before = signal.signal(signal.SIGURG, lambda *_: None)
    try:
        own = signal.getsignal(signal.SIGURG)
        interrupter = ThreadInterrupter()
        assert signal.getsignal(signal.SIGURG) is own
        killed = []
        monkeypatch.setattr(signal, "pthread_kill", lambda *args: killed.append(args))
        try:
            interrupter.interrupt(threading.get_ident())
            interrupter.withdraw(threading.get_ident())
        except RequestOverdue:
            pass
        assert killed == []
    finally:
        signal.signal(signal.SIGURG, before)


def test_without_an_interruption_the_application_just_goes_on(watched_worker, monkeypatch):
    monkeypatch.setattr(interrupts, "_raise_in_thread", lambda: None)
    before = signal.getsignal(signal.SIGURG)
    app = App()
    worker = watched_worker(app, interrupter=ThreadInterrupter())
    peer = worker.peer()
    thread = overdue(worker, peer, app)
    assert read_to_eof(peer.client).startswith(b"HTTP/1.1 504 ")
    app.go_on.set()
    thread.join(10)
    assert worker.posted == ["504 Gateway Timeout"]
    signal.signal(signal.SIGURG, before)


@pytest.fixture
def frequent_switches():
    """Threads take turns after microseconds: races become likely."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("frequent_switches")
def test_requests_that_end_just_when_they_are_overdue(watched_worker, thread_interrupter):
    """Four threads, each with requests whose end races with the watch; no thread is hit outside."""
    limit = 0.002
    worker = watched_worker(
        None, interrupter=thread_interrupter, clock=time.perf_counter, limit=limit
    )
    counts = {"in time": 0, "overdue": 0}
    stop = threading.Event()

    def respond(resp, environ):
        end = environ["started"] + environ["takes"]
        while time.perf_counter() < end:
            pass

    def many(number):
        takes = limit * (0.9 + number / 20)
        try:
            while not stop.is_set():
                peer = Peer(GET)
                peer.connection.start(time.monotonic())
                resp = SimpleNamespace(
                    req=peer.connection.request,
                    transport=peer.transport,
                    headers_sent=False,
                    status=None,
                )
                environ = {"takes": takes, "started": time.perf_counter(), "PATH_INFO": ""}
                try:
                    worker.watch.run(respond, resp, environ)
                    outcome = "in time"
                except RequestOverdue:
                    outcome = "overdue"
                for _ in range(200):  # where a late interruption would strike
                    pass
                counts[outcome] += 1
                peer.close()
        except BaseException as exc:
            worker.raised.append(exc)

    worker.watch.access = None
    worker.threads += [threading.Thread(target=many, args=(number,)) for number in range(4)]
    for thread in worker.threads:
        thread.start()
    until = time.monotonic() + 20
    try:
        while time.monotonic() < until and min(counts.values()) < 100 and not worker.raised:
            worker.watch.look()
    finally:
        stop.set()
    for thread in worker.threads:
        thread.join(10)
    assert worker.raised == []
    assert min(counts.values()) >= 100, counts
    assert (worker.watch.running, worker.watch.stuck) == ({}, {})
