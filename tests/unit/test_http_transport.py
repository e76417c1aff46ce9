"""Waiting for a client, and sending to one that does not read."""

import socket

import pytest

from cyserve.http.transport import HIGH_WATER, PlainTransport, PollWaiter


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(10)
    with ours, theirs:
        yield ours, theirs


def test_waits_until_ready(pair):
    ours, theirs = pair
    waiter = PollWaiter(lambda: None)
    theirs.send(b"x")
    assert waiter.readable(ours.fileno(), 10)
    assert waiter.writable(ours.fileno(), 10)


def test_says_when_time_is_up(pair):
    beats = []
    waiter = PollWaiter(lambda: beats.append(1))
    assert not waiter.readable(pair[0].fileno(), 0.01)
    assert beats


def test_all_waits_together_are_bounded(pair):
    waiter = PollWaiter(lambda: None, total=0.05)
    while waiter.left > 0:
        assert not waiter.readable(pair[0].fileno(), 0.02)
    pair[1].send(b"x")
    assert not waiter.readable(pair[0].fileno(), 10)  # it has had its time
    waiter.restart()
    assert waiter.readable(pair[0].fileno(), 10)


def test_a_client_that_does_not_read_is_given_up(kernel, pair):
    transport = PlainTransport(pair[0], PollWaiter(lambda: None))
    transport.output.write(b"x" * 10_000_000)
    with pytest.raises(TimeoutError):
        transport.send(0.01)
    assert transport.broken


def test_a_client_that_reads_gets_everything_in_order(kernel, pair):
    transport = PlainTransport(pair[0], PollWaiter(lambda: None))
    sent = bytes(range(256)) * 4096
    transport.output.write(sent)
    received = b""
    while transport.flush() > HIGH_WATER or transport.waiting:
        received += pair[1].recv(1 << 16)
    transport.close()
    while piece := pair[1].recv(1 << 16):
        received += piece
    assert received == sent
