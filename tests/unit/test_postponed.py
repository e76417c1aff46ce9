"""Pieces of a stream that wait for the next ones: who may wait, and who sends them."""

import socket
import threading

import pytest

from cyserve.http.postponed import PATIENCE, Postponed
from cyserve.http.transport import PlainTransport, PollWaiter

LONG = 20


class Stream:
    """A transport with the client's end of it."""

    def __init__(self):
        ours, self.peer = socket.socketpair()
        ours.setblocking(False)
        self.peer.setblocking(False)
        self.transport = PlainTransport(ours, PollWaiter(lambda: None))

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
def calls():
    return []


@pytest.fixture
def postponed(kernel, calls):
    return Postponed(10, lambda: calls.append(1))


def test_what_waits_is_sent_by_somebody_else(stream, postponed, calls):
    stream.transport.output.write(b"piece")
    assert postponed.lend(stream.transport)
    assert calls == [1]
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
    assert (calls, postponed.transports) == ([], set())


def test_nothing_waits_behind_a_full_socket(stream, postponed):
    stream.transport.output.write(b"x" * 10_000_000)
    assert stream.transport.flush()
    assert not postponed.lend(stream.transport)


def test_who_sends_is_called_once_and_comes_until_it_has_been_in_vain(stream, postponed, calls):
    for _ in range(3):
        for _ in range(5):
            stream.transport.output.write(b"x")
            assert postponed.lend(stream.transport)
            assert postponed.send()
            assert not postponed.transports
        assert len(calls) == 1
    assert [postponed.send() for _ in range(PATIENCE)] == [True] * (PATIENCE - 1) + [False]
    assert not postponed.send()
    stream.transport.output.write(b"x")
    postponed.lend(stream.transport)
    assert len(calls) == 2


def test_a_client_that_has_gone_is_its_own_threads_affair(stream, postponed):
    stream.peer.close()
    stream.transport.output.write(b"x")
    postponed.lend(stream.transport)
    assert postponed.send()
    assert stream.transport.broken
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
