"""The request watch: who ends a request, what its client, its application and its worker see."""

import gc
import os
import socket
import threading
import time
import weakref

import pytest
from watch_helpers import App, overdue, read_to_eof

from cyserve.http import overdue as overdue_room
from cyserve.http.connection import READ
from cyserve.http.transport import PollWaiter
from cyserve.workers import request_watch
from cyserve.workers.request_watch import GRACE


def test_a_request_in_time_is_left_alone(watched_worker):
    app = App()
    worker = watched_worker(app)
    peer = worker.peer()
    thread = worker.start(peer)
    assert app.inside.wait(10)
    worker.clock.now += 1.9
    assert worker.watch.look() == pytest.approx(0.1)
    app.go_on.set()
    thread.join(10)
    assert peer.connection.keep
    assert peer.received().endswith(b"\r\n\r\nok")
    assert worker.accessed[0][:2] == ("200 OK", 2)
    assert (worker.watch.running, worker.watch.stuck, worker.raised) == ({}, {}, [])
    assert worker.watch.interrupter.asked == []
    worker.clock.now += 10
    assert worker.watch.look() == 2
    assert worker.errors() == []


def test_an_overdue_request_is_answered_while_its_application_still_runs(watched_worker):
    app = App()
    worker = watched_worker(app)
    peer = worker.peer()
    thread = overdue(worker, peer, app)
    answer = read_to_eof(peer.client)  # to the end: nothing follows, whatever the application does
    assert answer.startswith(b"HTTP/1.1 504 Gateway Timeout\r\nConnection: close\r\n")
    assert worker.accessed == [("504 Gateway Timeout", 0, "/slow", "/slow", 2.5)]
    (error,) = worker.errors()
    assert error.startswith(
        "REQUEST TIMEOUT (pid:4711, thread:test) Running: 'GET /slow HTTP/1.1' for 2.5 s. "
        "The client got 504."
    )
    assert worker.watch.interrupter.asked == [("interrupt", thread.ident)]

    app.go_on.set()
    thread.join(10)
    assert worker.watch.interrupter.asked[1:] == [("withdraw", thread.ident)]
    assert not peer.connection.keep
    assert not peer.transport.broken
    assert worker.unwatched == [peer.connection]  # no poller may look at its descriptor meanwhile
    assert len(worker.accessed) == len(worker.errors()) == 1  # and not again at the end
    assert worker.posted == ["504 Gateway Timeout"]
    assert worker.raised == []
    assert read_to_eof(peer.client) == b""


def test_the_log_shows_where_the_application_is(watched_worker, thread_interrupter):
    app = App()
    worker = watched_worker(app, interrupter=thread_interrupter)
    thread = overdue(worker, worker.peer(), app)
    app.go_on.set()
    thread.join(10)
    (error,) = worker.errors()
    assert f"(pid:4711, thread:{thread.name})" in error
    assert 'watch_helpers.py", line' in error
    assert "assert self.go_on.wait(10)" in error
    assert "bootstrap" not in error  # only what the application called


@pytest.mark.parametrize("ending", ["raise", "return", "exit"])
def test_however_an_overdue_application_ends_it_is_one_line_and_one_answer(watched_worker, ending):
    def after(environ, start_response):
        if ending == "return":
            start_response("500 Oops", [])
            return [b"own page"]
        raise SystemExit(1) if ending == "exit" else ValueError("because of the timeout")

    app = App(after=after)
    worker = watched_worker(app)
    peer = worker.peer()
    thread = overdue(worker, peer, app)
    app.go_on.set()
    thread.join(10)
    assert read_to_eof(peer.client).count(b"HTTP/1.1") == 1
    assert len(worker.errors()) == len(worker.log.lines) == len(worker.accessed) == 1
    assert worker.raised == []


def test_a_signal_that_ends_the_worker_is_not_held_up(watched_worker):
    def after(environ, start_response):
        worker.leaving = True
        raise SystemExit(0)

    app = App(after=after)
    worker = watched_worker(app)
    thread = overdue(worker, worker.peer(), app)
    app.go_on.set()
    thread.join(10)
    assert [type(exc) for exc in worker.raised] == [SystemExit]


def test_what_the_application_writes_afterwards_fails_and_reaches_nobody(watched_worker):
    failures = []

    def after(environ, start_response):
        write = start_response("200 OK", [])
        for attempt in (lambda: write(b"late"), lambda: environ["gunicorn.socket"].send(b"late")):
            try:
                attempt()
            except OSError as exc:
                failures.append(type(exc))
        return []

    app = App(after=after)
    worker = watched_worker(app)
    peer = worker.peer()
    fd = peer.transport.fd
    thread = overdue(worker, peer, app)
    with socket.socket() as other:
        assert other.fileno() != fd  # the number stays taken as long as the application may use it
    app.go_on.set()
    thread.join(10)
    assert failures == [BrokenPipeError, BrokenPipeError]
    assert b"late" not in read_to_eof(peer.client)


def test_an_answer_that_comes_while_the_watch_acts_is_not_mixed_with_504(
    watched_worker, monkeypatch
):
    written = threading.Event()
    failures = []

    def after(environ, start_response):
        write = start_response("200 OK", [])
        try:
            write(b"late")
        except OSError as exc:
            failures.append(type(exc))
        written.set()
        return []

    def exchange(seizure):
        client = original(seizure)
        app.go_on.set()
        assert written.wait(10)
        return client

    original = overdue_room.Seizure._exchange
    monkeypatch.setattr(overdue_room.Seizure, "_exchange", exchange)
    app = App(after=after)
    worker = watched_worker(app)
    peer = worker.peer()
    overdue(worker, peer, app).join(10)
    assert failures == [BrokenPipeError]
    assert read_to_eof(peer.client) == b""


def test_half_an_answer_is_cut(watched_worker):
    def before(environ, start_response):
        start_response("200 OK", [("Content-Length", "100")])(b"half")

    app = App(before, lambda environ, start_response: [b"rest"])
    worker = watched_worker(app)
    peer = worker.peer()
    thread = overdue(worker, peer, app)
    answer = read_to_eof(peer.client)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nhalf")
    assert "The client's connection was cut." in worker.errors()[0]
    assert worker.accessed[0][:2] == ("200 OK", 4)  # what the client saw
    app.go_on.set()
    thread.join(10)
    assert peer.transport.broken
    assert not peer.connection.keep
    assert len(worker.accessed) == 1


def test_an_application_that_waits_for_the_body_is_freed(watched_worker):
    seen = []

    def read(environ, start_response):
        try:
            environ["wsgi.input"].read()
        except ConnectionError as exc:
            seen.append(exc)
            raise

    app = App(before=lambda environ, start_response: None, after=read)
    worker = watched_worker(app)
    peer = worker.peer(b"POST /slow HTTP/1.1\r\nContent-Length: 200000\r\n\r\n" + b"x" * 66000)
    peer.transport.waiter = PollWaiter(lambda: None, interval=0.1)
    app.go_on.set()
    thread = overdue(worker, peer, app)
    assert read_to_eof(peer.client).startswith(b"HTTP/1.1 504 ")
    thread.join(10)
    assert len(seen) == 1
    # It is lingered for: a reset, because of what nobody reads, could overtake the answer.
    assert peer.connection.answered(time.monotonic()) == READ


def test_a_socket_that_the_application_closed_is_left_alone(watched_worker):
    def after(environ, start_response):
        raise StopIteration  # as those do that took the socket over

    app = App(lambda environ, start_response: environ["gunicorn.socket"].close(), after)
    worker = watched_worker(app)
    peer = worker.peer()
    fd = peer.transport.fd
    thread = worker.start(peer)
    assert app.inside.wait(10)
    other, far = socket.socketpair()
    assert fd in {other.fileno(), far.fileno()}  # the descriptor is somebody else's now
    worker.clock.now += 3
    worker.watch.look()
    app.go_on.set()
    thread.join(10)
    with other, far:
        other.send(b"intact")
        assert far.recv(100) == b"intact"


# -- the limit of one request --


def test_set_timeout(watched_worker):
    app = App()
    worker = watched_worker(app)
    watch = worker.watch
    thread = worker.start(worker.peer())
    assert app.inside.wait(10)
    set_timeout = app.environ["cyserve.set_timeout"]
    assert watch.look() == 2
    set_timeout(5)
    assert not watch.wake.is_set()
    worker.clock.now += 4
    watch.look()
    assert worker.errors() == []
    set_timeout(0.5)
    assert watch.wake.is_set()  # else the watch would sleep longer than that
    assert watch.look() == 0.5
    set_timeout(0)
    worker.clock.now += 1e6
    watch.look()
    assert worker.errors() == []
    for wrong in (-1, "soon", None, True, float("nan"), float("inf")):
        with pytest.raises((TypeError, ValueError)):
            set_timeout(wrong)
    set_timeout(1)
    worker.clock.now += 1
    watch.look()
    assert len(worker.errors()) == 1
    set_timeout(100)  # too late
    app.go_on.set()
    thread.join(10)
    assert worker.posted == ["504 Gateway Timeout"]


def test_a_request_leaves_no_garbage(watched_worker):
    responses = []

    def app(environ, start_response):
        responses.append(weakref.ref(start_response.__self__))
        start_response("200 OK", [])
        return [b""]

    worker = watched_worker(app)
    peer = worker.peer()
    gc.collect()
    gc.disable()
    try:
        worker.cycle.run(peer.connection.request)
        assert responses[0]() is None
    finally:
        gc.enable()


# -- when the interruption does not help --


def test_a_request_that_goes_on_costs_the_worker(watched_worker, monkeypatch):
    left = []
    monkeypatch.setattr(request_watch.os, "_exit", left.append)
    app = App()
    worker = watched_worker(app)
    watch = worker.watch
    thread = overdue(worker, worker.peer(), app)
    worker.clock.now += GRACE - 0.1
    assert watch.look() == pytest.approx(0.1)
    assert worker.alive
    worker.clock.now += 0.1
    watch.look()
    assert not worker.alive
    assert os.read(worker.PIPE[0], 10) == b"."  # its loop is woken
    assert worker.errors()[1] == (
        "Request 'GET /slow HTTP/1.1' goes on after its timeout (pid:4711): the worker finishes "
        "what else it has begun and is replaced."
    )
    worker.clock.now += worker.cfg.graceful_timeout
    watch.look()
    assert left == []  # it should have left by itself
    worker.clock.now += 1.1
    watch.look()
    assert left == [1]
    app.go_on.set()
    thread.join(10)


def test_a_worker_that_can_do_nothing_else_leaves_at_once(watched_worker, monkeypatch):
    left = []
    monkeypatch.setattr(request_watch.os, "_exit", left.append)
    app = App()
    worker = watched_worker(app)
    worker.watch.interrupter.alone = lambda runner: True
    thread = overdue(worker, worker.peer(), app)
    worker.clock.now += GRACE
    worker.watch.look()
    assert left == [1]
    app.go_on.set()
    thread.join(10)


def test_a_request_that_ends_within_the_grace_costs_nothing(watched_worker):
    app = App()
    worker = watched_worker(app)
    thread = overdue(worker, worker.peer(), app)
    app.go_on.set()
    thread.join(10)
    worker.clock.now += GRACE
    worker.watch.look()
    assert worker.alive
    assert len(worker.errors()) == 1


def test_an_error_in_the_watch_does_not_end_it(watched_worker):
    app = App()
    worker = watched_worker(app)
    worker.watch.clock = time.monotonic
    worker.watch.limit = 0.05
    looked = []
    look = worker.watch.look

    def broken():
        looked.append(1)
        if len(looked) == 1:
            worker.watch.wake.set()
            raise RuntimeError("broken")
        return look()

    worker.watch.look = broken
    peer = worker.peer()
    thread = worker.start(peer)
    assert app.inside.wait(10)
    worker.watch.start()
    assert read_to_eof(peer.client).startswith(b"HTTP/1.1 504 ")
    assert ("exception", "Error in the request watch") in worker.log.lines
    worker.watch.look = threading.Event().wait  # it would outlive the test, and end the process
    app.go_on.set()
    thread.join(10)
