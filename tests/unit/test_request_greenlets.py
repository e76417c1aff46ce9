"""Interruptions of greenlets: they hit the overdue request or nothing."""

import gevent
import gevent.event
from watch_helpers import read_to_eof

from cyserve.workers.greenlet_interrupts import GreenletInterrupter
from cyserve.workers.request_watch import GRACE


def run(worker, peer, after=None):
    """Run the peer's request in a greenlet, up to where it waits."""

    def whole():
        worker.cycle.run(peer.connection.request)
        if after is not None:
            after()

    greenlet = gevent.spawn(whole)
    gevent.sleep(0)
    return greenlet


def test_a_waiting_greenlet_is_interrupted(watched_worker):
    def app(environ, start_response):
        gevent.sleep(20)

    worker = watched_worker(app, interrupter=GreenletInterrupter())
    peer = worker.peer()
    greenlet = run(worker, peer)
    worker.clock.now += 3
    worker.watch.look()
    assert not greenlet.ready()  # the hub does it, later
    greenlet.join(10)
    assert greenlet.successful()
    assert read_to_eof(peer.client).startswith(b"HTTP/1.1 504 ")
    assert worker.posted == ["504 Gateway Timeout"]
    (error,) = worker.errors()
    assert f"(pid:4711, greenlet:{greenlet.name})" in error
    assert 'test_request_greenlets.py", line' in error
    assert "gevent.sleep(20)" in error


def test_a_greenlet_whose_request_has_just_ended_is_not_hit(watched_worker):
    survived = []
    ended = gevent.event.Event()

    def app(environ, start_response):
        ended.wait()
        start_response("200 OK", [])
        return [b"late"]

    def after():
        gevent.sleep(0.01)
        survived.append(True)

    worker = watched_worker(app, interrupter=GreenletInterrupter())
    peer = worker.peer()
    greenlet = run(worker, peer, after)
    worker.clock.now += 3
    ended.set()  # it will be switched to before the hub comes to the interruption
    worker.watch.look()
    greenlet.join(10)
    assert survived == [True]
    answer = read_to_eof(peer.client)
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b"late" not in answer


def test_a_greenlet_that_swallows_it_costs_the_worker(watched_worker):
    def app(environ, start_response):
        try:
            gevent.sleep(20)
        except BaseException:
            go_on.wait()
        start_response("200 OK", [])
        return [b""]

    go_on = gevent.event.Event()
    worker = watched_worker(app, interrupter=GreenletInterrupter())
    greenlet = run(worker, worker.peer())
    worker.clock.now += 3
    worker.watch.look()
    gevent.sleep(0)
    worker.clock.now += GRACE
    worker.watch.look()
    assert not worker.alive
    go_on.set()
    greenlet.join(10)
    assert worker.posted == ["504 Gateway Timeout"]
