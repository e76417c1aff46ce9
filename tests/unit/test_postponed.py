"""Pieces of a stream that wait for the next ones: who may wait, and who sends them."""

import socket
import threading
from contextlib import nullcontext

import pytest
from http_helpers import Peer

from cyserve.http.connection import RUN
from cyserve.http.postponed import PATIENCE, Postponed
from cyserve.http.response import Response
from cyserve.http.transport import PlainTransport, PollWaiter, UnusedSocket

LONG = 20


class Stream:
    """A transport with the client's end of it."""

    def __init__(self):
        ours, self.peer = socket.socketpair()
        ours.setblocking(False)
        self.peer.setblocking(False)
        self.calls = []
        self.postponed = Postponed(10, lambda: self.calls.append(1))
        unused = socket.socket.__new__(UnusedSocket)
        waiter = PollWaiter(lambda: None)
        self.transport = PlainTransport(unused, waiter, ours.detach(), self.postponed)

    def received(self):
        try:
            return self.peer.recv(100)
        except BlockingIOError:
            return b""

    def close(self):
        self.transport.close()
        self.peer.close()


@pytest.fixture
def stream(kernel):
    stream = Stream()
    yield stream
    stream.close()


@pytest.fixture
def postponed(stream):
    return stream.postponed


@pytest.fixture
def calls(stream):
    """How often somebody was called since it was last asked."""

    def calls():
        count = len(stream.calls)
        stream.calls.clear()
        return count

    return calls


def test_what_waits_is_sent_by_somebody_else(stream, postponed, calls):
    stream.transport.output.write(b"piece")
    assert postponed.lend(stream.transport)
    assert calls() == 1
    assert stream.received() == b""
    assert postponed.send()
    assert stream.received() == b"piece"
    assert not postponed.transports


def test_what_was_taken_back_is_left_alone(stream, postponed):
    stream.transport.output.write(b"piece")
    postponed.lend(stream.transport)
    postponed.take_back(stream.transport)
    postponed.send()
    assert stream.received() == b""
    postponed.take_back(stream.transport)  # once more does no harm


@pytest.mark.parametrize("data", [b"", b"0123456789", b"0123456789A"])
def test_nothing_and_much_do_not_wait(stream, postponed, calls, data):
    stream.transport.output.write(data)
    assert not postponed.lend(stream.transport)
    assert (calls(), postponed.transports) == (0, set())


def test_nothing_waits_behind_a_full_socket(stream, postponed):
    postponed.size = 1 << 30
    stream.transport.output.write(b"x" * 10_000_000)
    assert stream.transport.flush()
    assert not postponed.lend(stream.transport)


def test_who_sends_comes_until_it_has_been_in_vain(stream, postponed, calls):
    transport = stream.transport
    transport.output.write(b"x")
    assert postponed.lend(transport)
    assert calls() == 1
    for _ in range(3):
        assert postponed.send()
        assert [postponed.send() for _ in range(PATIENCE - 1)] == [True] * (PATIENCE - 1)
        transport.output.write(b"x")
        assert postponed.lend(transport)
        assert calls() == 0  # it comes anyway
    assert postponed.send()
    assert [postponed.send() for _ in range(PATIENCE)] == [True] * (PATIENCE - 1) + [False]
    assert not postponed.send()
    transport.output.write(b"x")
    assert postponed.lend(transport)
    assert calls() == 1


def test_who_was_called_comes_for_a_while(stream, postponed, calls):
    stream.transport.output.write(b"x")
    postponed.lend(stream.transport)
    postponed.take_back(stream.transport)
    assert calls() == 1
    postponed.called()
    assert postponed.send()


def test_what_a_slow_client_does_not_take_is_tried_again(stream, postponed):
    postponed.size = 1 << 30
    size = 10_000_000
    stream.transport.output.write(b"x" * size)
    assert postponed.lend(stream.transport)
    taken = 0
    while taken < size:
        assert postponed.send()
        taken += len(stream.peer.recv(1 << 20))
    assert postponed.send()
    assert not postponed.transports


def test_the_first_look_at_the_socket_sends_what_waits(stream, postponed):
    stream.transport.output.write(b"piece")
    assert postponed.lend(stream.transport)
    stream.transport.sock.sendall(b" and by hand")
    assert stream.received() == b"piece and by hand"
    assert not postponed.transports
    stream.transport.output.write(b"piece")
    assert not postponed.lend(stream.transport)  # who knows what it does with it


def test_settling_sends_what_waits_and_nothing_else(stream, postponed):
    stream.transport.output.write(b"piece")
    postponed.settle(stream.transport)  # it is not lent
    assert stream.received() == b""
    postponed.lend(stream.transport)
    postponed.settle(stream.transport)
    assert stream.received() == b"piece"
    assert not postponed.transports


def test_closing(stream, postponed):
    stream.transport.output.write(b"piece")
    postponed.lend(stream.transport)
    postponed.close()
    assert stream.received() == b"piece"
    stream.transport.output.write(b"piece")
    assert not postponed.lend(stream.transport)


def test_a_client_that_has_gone_is_its_own_threads_affair(stream, postponed):
    stream.peer.close()
    stream.transport.output.write(b"x")
    postponed.lend(stream.transport)
    assert postponed.send()
    assert not stream.transport.broken  # an error that the application has now is its own
    with pytest.raises(BrokenPipeError):  # where its thread goes on
        stream.transport.answer(b"y")


def test_every_byte_once_and_in_order_while_two_threads_have_it_in_turn(stream, postponed):
    """What a thread that produces and one that sends do to each other."""
    stream.peer.settimeout(LONG)
    pieces = [b"%d " % number for number in range(20_000)]
    done = threading.Event()

    def send():
        while not done.is_set():
            postponed.send()

    received = bytearray()

    def receive():
        while data := stream.peer.recv(1 << 16):
            received.extend(data)

    threads = [threading.Thread(target=target) for target in (send, receive)]
    for thread in threads:
        thread.start()
    transport = stream.transport
    try:
        for piece in pieces:
            postponed.take_back(transport)
            transport.output.write(piece)
            if not postponed.lend(transport):
                transport.send(LONG)
        postponed.take_back(transport)
        while transport.flush():
            assert transport.waiter.writable(transport.fd, LONG)
    finally:
        done.set()
        transport.shutdown_write()
        for thread in threads:
            thread.join(LONG)
    assert bytes(received) == b"".join(pieces)


@pytest.mark.parametrize("fails", [False, True])
def test_no_transport_stays_lent(stream, postponed, fails):
    """Neither while the application calls `write`, nor when its items have come to an end."""
    postponed.size = 1 << 20
    peer = Peer()
    peer.connection.transport = stream.transport
    stream.peer.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert peer.connection.proceed(0.0) == RUN
    resp = Response(peer.connection.request, stream.transport.sock, peer.cfg)
    write = resp.start_response("200 OK", [])
    lent = []

    def items():
        for _ in range(2):
            while not postponed.transports:  # it is, as soon as a piece comes fast enough
                yield b"x"
            lent.append(len(postponed.transports))
            write(b"y")
            lent.append(len(postponed.transports))
        while not postponed.transports:
            yield b"x"
        if fails:
            raise RuntimeError

    with pytest.raises(RuntimeError) if fails else nullcontext():
        resp.write_iterable(items())
    assert lent == [1, 0, 1, 0]
    assert not postponed.transports
    peer.close()
