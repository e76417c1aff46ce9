"""The TLS transport, over a pair of sockets whose far end is a client of Python's own."""

import contextlib
import os
import socket
import ssl
import threading

import pytest
from tls_helpers import authority, client_context

from cyserve._errors import PlainHTTPRequest
from cyserve.http.tls import RECORD, TLSTransport
from cyserve.http.transport import HIGH_WATER, PlainTransport, PollWaiter, accept


def server_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("localhost").configure_cert(context)
    return context


class Pair:
    """A transport and its client; `connected` does the handshake."""

    def __init__(self, *, ragged=True, context=None):
        ours, self.raw = socket.socketpair()
        ours.setblocking(False)
        self.raw.settimeout(10)
        self.transport = TLSTransport(
            ours, PollWaiter(lambda: None), context or server_context(), ragged=ragged
        )
        self.client = None

    def connected(self, **versions):
        def shake():
            self.client = client_context(**versions).wrap_socket(
                self.raw, server_hostname="localhost"
            )

        thread = threading.Thread(target=shake)
        thread.start()
        while step := self.transport.handshake():
            waiter = self.transport.waiter
            assert (waiter.readable if step == 1 else waiter.writable)(self.transport.fd, 10)
        thread.join(10)
        return self

    def fill(self, size=RECORD):
        """As the transport's, after waiting for something to come."""
        assert self.transport.waiter.readable(self.transport.fd, 10)
        return self.transport.fill(size)

    def take(self):
        return self.transport.input.take(1 << 30)

    def close(self):
        self.transport.close()
        (self.client or self.raw).close()


@pytest.fixture
def pairs(kernel):
    made = []

    def make(**options):
        made.append(Pair(**options))
        return made[-1]

    yield make
    for pair in made:
        pair.close()


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def pair(pairs, request):
    return pairs().connected(maximum_version=request.param)


def test_is_known_as_secure():
    assert TLSTransport.secure
    assert not PlainTransport.secure


def test_never_blocks_whatever_accept_has_told_the_socket(kernel):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        with socket.create_connection(listener.getsockname()):
            accepted = accept(listener)
            assert accepted is not None
            transport = TLSTransport(accepted[0], PollWaiter(lambda: None), server_context())
            assert not os.get_blocking(transport.fd)
            assert transport.handshake() == 1
            assert not os.get_blocking(transport.fd)
            transport.close()


def test_the_handshake_waits_for_the_client(pairs):
    pair = pairs()
    assert pair.transport.handshake() == 1
    pair.raw.send(b"\x16\x03\x01")  # the beginning of a ClientHello
    assert pair.transport.handshake() == 1


def test_the_handshake_waits_for_room(pairs):
    pair = pairs()
    hello = ssl.MemoryBIO()
    client = client_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    pair.raw.sendall(hello.read())
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(pair.transport.fd, b"x" * 65536)
    assert pair.transport.handshake() == 4


def test_after_the_handshake(pair):
    assert isinstance(pair.transport.sock, ssl.SSLSocket)
    assert pair.transport.fd == pair.transport.sock.fileno()
    assert not pair.transport.sock.getblocking()
    assert pair.transport.fill(10) == -1


@pytest.mark.parametrize("size", [1, RECORD - 1, RECORD, RECORD + 1])
def test_nothing_stays_hidden_after_fill(pair, size):
    pair.client.sendall(b"x" * size)
    received = b""
    while len(received) < size:
        assert pair.fill(1) > 0
        assert pair.transport.sock.pending() == 0
        received += pair.take()
    assert received == b"x" * size
    assert pair.transport.fill(1) == -1


def test_a_big_wish_takes_several_records_at_once(pair):
    sent = os.urandom(3 * RECORD)
    pair.client.sendall(sent)
    assert pair.fill(4 * RECORD) == len(sent)
    assert pair.take() == sent


def test_half_a_record_is_nothing_yet(pairs):
    pair = pairs().connected()
    sealed = _seal(pair, b"hello")
    pair.raw = socket.socket(fileno=os.dup(pair.client.fileno()))
    pair.raw.sendall(sealed[:-1])
    assert pair.fill() == -1
    pair.raw.sendall(sealed[-1:])
    assert pair.fill() == 5
    pair.raw.close()


def _seal(pair, data):
    """The record that the client would send, taken out of the socket again."""
    pair.client.sendall(data)
    assert pair.transport.waiter.readable(pair.transport.fd, 10)
    return os.read(pair.transport.fd, 65536)


def test_close_notify_is_the_end(pair):
    pair.client.sendall(b"last")
    with contextlib.suppress(ssl.SSLWantReadError):
        pair.client.setblocking(False)
        pair.client.unwrap()
    assert pair.fill() == 4
    assert pair.fill() == 0
    assert not pair.transport.broken


def test_a_ragged_end_is_an_end_or_an_error_as_the_setting_says(pairs):
    lenient, strict = pairs().connected(), pairs(ragged=False).connected()
    for pair in (lenient, strict):
        socket.socket.shutdown(pair.client, socket.SHUT_WR)
    assert lenient.fill() == 0
    with pytest.raises(ssl.SSLEOFError):
        strict.fill()


def test_garbage_is_an_error(pair):
    os.write(pair.client.fileno(), b"\x17\x03\x03\x00\x20" + b"x" * 32)
    with pytest.raises(ssl.SSLError, match="(?i)bad.record.mac|decryption failed"):
        pair.fill()
    assert pair.transport.broken


def test_what_is_written_arrives_in_order(pair):
    sent = os.urandom(3_000_000)
    for at in range(0, len(sent), 700_001):
        pair.transport.output.write(sent[at : at + 700_001])
    received = bytearray()
    while pair.transport.flush() > HIGH_WATER or pair.transport.waiting:
        received += pair.client.recv(1 << 16)
        pair.transport.output.write(b"")  # more may be queued while a record is under way
    pair.transport.shutdown_write()
    while piece := pair.client.recv(1 << 16):
        received += piece
    assert bytes(received) == sent


def test_more_can_be_queued_while_a_record_is_under_way(pair):
    total = 0
    while not pair.transport.flush():
        pair.transport.output.write(b"a" * 1000)
        total += 1000
    pair.transport.output.write(b"b" * 1000)
    received = b""
    while pair.transport.flush():
        received += pair.client.recv(1 << 16)
    while len(received) < total + 1000:
        received += pair.client.recv(1 << 16)
    assert received == b"a" * total + b"b" * 1000


def test_a_client_that_does_not_read_is_given_up(pair):
    pair.transport.output.write(b"x" * 10_000_000)
    with pytest.raises(TimeoutError):
        pair.transport.send(0.01)
    assert pair.transport.broken


def test_nothing_follows_half_a_record(pair):
    pair.transport.output.write(b"x" * 10_000_000)
    assert pair.transport.flush()
    pair.transport.discard()
    assert pair.transport.broken
    assert not pair.transport.waiting


def test_a_client_that_is_gone(pair):
    pair.client.close()
    pair.transport.output.write(b"x" * 10_000_000)
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        pair.transport.send(10)
    assert pair.transport.broken


@pytest.mark.parametrize("size", [1, 65536, 65537, 5_000_000])
def test_a_file_follows_the_head(pair, tmp_path, size):
    content = os.urandom(size + 3)
    (tmp_path / "file").write_bytes(content)
    pair.transport.output.write(b"head\r\n\r\n")
    with (tmp_path / "file").open("rb") as file:
        pair.transport.send_file(file.fileno(), 3, size, b"tail")
    received = bytearray()
    pair.client.settimeout(10)
    most = 0
    while pair.transport.flush():
        most = max(most, len(pair.transport.output))
        received += pair.client.recv(1 << 16)
    pair.transport.shutdown_write()
    while piece := pair.client.recv(1 << 16):
        received += piece
    assert bytes(received) == b"head\r\n\r\n" + content[3:] + b"tail"
    assert most < 2 * 65536  # it was never in memory as a whole
    assert pair.transport.file is None


def test_a_file_that_is_too_short_breaks_the_connection(pair, tmp_path):
    (tmp_path / "file").write_bytes(b"short")
    with (tmp_path / "file").open("rb") as file:
        pair.transport.send_file(file.fileno(), 0, 100)
    with pytest.raises(BrokenPipeError):
        pair.transport.flush()
    assert pair.transport.broken
    assert pair.transport.file is None


@pytest.mark.parametrize("how", ["close", "shutdown_write"])
def test_says_goodbye(pairs, how):
    pair = pairs().connected()
    getattr(pair.transport, how)()
    pair.client.suppress_ragged_eofs = False
    assert pair.client.recv(10) == b""  # a cut would raise


def test_after_shutdown_write_the_rest_is_dropped_unread(pair):
    pair.transport.shutdown_write()
    pair.client.sendall(b"x" * 1000)
    assert pair.transport.waiter.readable(pair.transport.fd, 10)
    assert pair.transport.drop_input() > 0
    assert len(pair.transport.input) == 0
    socket.socket.shutdown(pair.client, socket.SHUT_WR)
    while got := pair.transport.drop_input():
        assert got > 0
    pair.transport.close()


def test_a_closed_transport_is_closed_for_good(pair):
    pair.transport.close()
    pair.transport.close()
    with pytest.raises(OSError, match="closed"):
        pair.transport.fill(1)


def test_an_application_may_end_tls_itself(pair):
    pair.client.setblocking(False)
    with contextlib.suppress(ssl.SSLWantReadError):
        pair.client.unwrap()
    pair.transport.sock.unwrap()
    with pytest.raises(OSError, match="unwrapped"):
        pair.transport.fill(1)
    pair.transport.output.write(b"x")
    with pytest.raises(OSError, match="unwrapped"):
        pair.transport.flush()


@pytest.mark.parametrize("how", ["close", "detach"])
def test_a_socket_that_the_application_ends_is_not_touched_again(pair, how):
    left = getattr(pair.transport.sock, how)()
    assert pair.transport.fd == -1
    with pytest.raises(OSError, match="closed"):
        pair.transport.fill(1)
    pair.transport.output.write(b"x")
    with pytest.raises(OSError, match=r".+"):
        pair.transport.flush()
    if left is not None:
        os.close(left)


def test_a_lent_socket_blocks_for_the_application_alone(pair):
    transport = pair.transport
    transport.lend(True)
    assert transport.sock.getblocking()
    assert transport.fill(10) == -1
    transport.output.write(b"x" * 10_000_000)
    assert transport.flush() > 0
    assert transport.sock.getblocking()
    pair.client.sendall(b"hello")
    assert transport.sock.recv(10) == b"hello"
    transport.lend(False)
    assert not transport.sock.getblocking()
    assert transport.fill(10) == -1


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", PlainHTTPRequest),
        (b"CONNECT a:1 HTTP/1.1\r\n\r\n", PlainHTTPRequest),
        (b"\x00" * 100, ssl.SSLError),
        (b"SSH-2.0-OpenSSH\r\n", ssl.SSLError),
    ],
)
def test_failed_handshakes(pairs, said, error):
    pair = pairs()
    pair.raw.sendall(said)
    with pytest.raises(error):
        pair.transport.handshake()
    assert pair.transport.broken


def test_a_client_that_leaves_in_the_handshake(pairs):
    pair = pairs()
    pair.raw.send(b"\x16\x03\x01")
    pair.raw.close()
    with pytest.raises(ConnectionError):
        pair.transport.handshake()


def test_a_last_word_without_tls(pairs):
    pair = pairs()
    pair.raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(PlainHTTPRequest):
        pair.transport.handshake()
    plain = PlainTransport(pair.transport.sock, pair.transport.waiter)
    plain.output.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert plain.flush() == 0
    plain.shutdown_write()
    assert pair.raw.recv(100) == b"HTTP/1.1 400 Bad Request\r\n\r\n"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of ssl itself
def test_a_client_that_is_gone_before_the_handshake(kernel):
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    ours, _ = listener.accept()
    listener.close()
    ours.setblocking(False)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()  # a reset
    with pytest.raises(ConnectionResetError):
        TLSTransport(ours, PollWaiter(lambda: None), server_context())
    assert ours.fileno() == -1
