"""Waiting for a client, and sending to one that does not read."""

import gc
import os
import socket
import weakref

import pytest

from cyserve.http.transport import (
    HIGH_WATER,
    ClientSocket,
    PlainTransport,
    PollWaiter,
    UnusedSocket,
)


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


def unused(sock):
    """A transport whose socket nobody has looked at."""
    fd = sock.detach()
    return PlainTransport(socket.socket.__new__(UnusedSocket), PollWaiter(lambda: None), fd), fd


class TestUnusedSocket:
    def test_becomes_a_whole_one_at_the_first_look(self, kernel, pair):
        transport, fd = unused(pair[0])
        sock = transport.sock
        assert isinstance(sock, socket.socket)
        assert type(sock) is UnusedSocket
        assert sock.fileno() == fd == transport.fd
        assert type(sock) is ClientSocket
        assert (sock.family, sock.type, sock.proto) == (socket.AF_UNIX, socket.SOCK_STREAM, 0)
        assert transport.told
        sock.sendall(b"by hand")
        assert pair[1].recv(100) == b"by hand"
        transport.close()
        assert sock.fileno() == -1
        assert pair[1].recv(100) == b""

    @pytest.mark.parametrize("look", [repr, lambda sock: sock.family, lambda sock: sock.transport])
    def test_any_look_will_do(self, kernel, pair, look):
        transport, _ = unused(pair[0])
        look(transport.sock)
        assert type(transport.sock) is ClientSocket
        transport.close()
        assert pair[1].recv(100) == b""

    def test_with_a_block_around_it(self, kernel, pair):
        transport, _ = unused(pair[0])
        with transport.sock as sock:
            sock.sendall(b"x")
        assert transport.fd == -1
        assert sock.fileno() == -1
        assert pair[1].recv(100) == b"x"

    def test_is_closed_unseen(self, kernel, pair):
        transport, fd = unused(pair[0])
        sock = transport.sock
        transport.close()
        assert pair[1].recv(100) == b""
        transport.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
        assert type(sock) is UnusedSocket

    def test_looked_at_when_the_transport_is_gone(self, kernel, pair):
        transport, fd = unused(pair[0])
        sock = transport.sock
        transport.close()
        other = os.open(os.devnull, os.O_RDONLY)
        assert other == fd  # its number is somebody else's
        assert sock.fileno() == -1
        with pytest.raises(OSError, match="Bad file descriptor"):
            sock.send(b"x")
        assert "[closed]" in repr(sock)
        sock.close()
        os.fstat(other)
        os.close(other)

    def test_closed_by_the_application(self, kernel, pair):
        transport, fd = unused(pair[0])
        transport.sock.close()
        assert transport.fd == -1
        with pytest.raises(OSError, match="closed"):
            transport.fill(1)
        transport.close()

    def test_detached_by_the_application(self, kernel, pair):
        transport, fd = unused(pair[0])
        assert transport.sock.detach() == fd
        assert transport.fd == -1
        transport.close()
        os.fstat(fd)  # the application's now
        os.close(fd)

    def test_a_file_of_it_outlives_the_connection(self, kernel, pair):
        transport, _ = unused(pair[0])
        file = transport.sock.makefile("wb")
        transport.close()
        file.write(b"late")
        file.close()
        assert pair[1].recv(100) == b"late"

    def test_nothing_keeps_it_alive(self, kernel, pair):
        transport, _ = unused(pair[0])
        gone = weakref.ref(transport.sock)
        transport.close()
        gc.disable()
        try:
            del transport
            assert gone() is None
        finally:
            gc.enable()
