"""HubWait: readiness, deadlines, and what else may wake a greenlet."""

import socket
import time

import gevent
import gevent.event
import pytest

from cyserve.workers.hub import READ, WRITE, HubWait, expire_overdue

NEVER = float("inf")


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


@pytest.fixture
def waits():
    found = set()
    yield found
    assert not found  # each has been closed


def in_greenlet(function):
    """Runs the function in a greenlet up to its first wait; returns the greenlet."""
    greenlet = gevent.spawn(function)
    gevent.sleep(0)
    return greenlet


def waiting(pair, waits, interest, deadline=NEVER):
    """A greenlet that waits once and returns the verdict."""

    def wait_once():
        wait = HubWait(pair[0].fileno(), waits)
        try:
            return wait.until(interest, deadline)
        finally:
            wait.close()

    return in_greenlet(wait_once)


def test_wakes_when_something_can_be_read(pair, waits):
    greenlet = waiting(pair, waits, READ)
    assert not greenlet.dead
    pair[1].send(b"x")
    assert greenlet.get(timeout=10) is True


def test_wakes_when_something_can_be_written(pair, waits):
    sent = 0
    while True:
        try:
            sent += pair[0].send(b"x" * 65536)
        except BlockingIOError:
            break
    greenlet = waiting(pair, waits, WRITE)
    gevent.sleep(0.01)
    assert not greenlet.dead
    while sent:
        sent -= len(pair[1].recv(65536))
    assert greenlet.get(timeout=10) is True


def test_a_deadline_is_looked_at_when_asked(pair, waits):
    greenlet = waiting(pair, waits, READ, time.monotonic() - 1)
    gevent.sleep(0)
    assert not greenlet.dead
    expire_overdue(waits)
    assert greenlet.get(timeout=10) is False


def test_a_later_deadline_is_left_alone(pair, waits):
    greenlet = waiting(pair, waits, READ, time.monotonic() + 1000)
    expire_overdue(waits)
    gevent.sleep(0)
    assert not greenlet.dead
    [wait] = waits
    wait.hurry(time.monotonic() - 1)
    expire_overdue(waits)
    assert greenlet.get(timeout=10) is False


def test_bytes_that_come_with_the_deadline_win(pair, waits):
    greenlet = waiting(pair, waits, READ, time.monotonic() - 1)
    pair[1].send(b"x")
    gevent.sleep(0.01)
    expire_overdue(waits)
    assert greenlet.get(timeout=10) is True


def test_who_does_not_wait_here_is_not_woken(pair, waits):
    woken = []

    def sleep_elsewhere():
        wait = HubWait(pair[0].fileno(), waits)
        wait.hurry(0.0)
        event = gevent.event.Event()
        woken.append(event.wait(0.05))
        wait.close()

    greenlet = in_greenlet(sleep_elsewhere)
    expire_overdue(waits)
    pair[1].send(b"x")
    greenlet.get(timeout=10)
    assert woken == [False]


def test_a_stray_switch_is_no_readiness(pair, waits):
    greenlet = waiting(pair, waits, READ)
    gevent.get_hub().loop.run_callback(greenlet.switch)
    gevent.sleep(0.01)
    assert not greenlet.dead
    pair[1].send(b"x")
    assert greenlet.get(timeout=10) is True


def test_an_exception_ends_the_wait(pair, waits):
    greenlet = waiting(pair, waits, READ)
    greenlet.kill(ZeroDivisionError, block=True)
    assert isinstance(greenlet.exception, ZeroDivisionError)
    assert not waits


def test_the_waiter_of_a_request_gives_up(pair, waits):
    def wait_within():
        wait = HubWait(pair[0].fileno(), waits)
        try:
            return wait.writable(pair[0].fileno(), 10), wait.readable(pair[0].fileno(), 0.0)
        finally:
            wait.close()

    greenlet = in_greenlet(wait_within)
    while not greenlet.dead:
        expire_overdue(waits)
        gevent.sleep(0)
    assert greenlet.get() == (True, False)


def test_two_greenlets_wait_for_one_connection(pair, waits):
    def wait_for_both():
        wait = HubWait(pair[0].fileno(), waits)
        other = gevent.spawn(wait.readable, pair[0].fileno(), 1000.0)
        mine = wait.until(READ, NEVER)
        theirs = other.get()
        wait.close()
        return mine, theirs

    greenlet = in_greenlet(wait_for_both)
    gevent.sleep(0)
    assert len(waits) == 2
    pair[1].send(b"x")
    assert greenlet.get(timeout=10) == (True, True)
