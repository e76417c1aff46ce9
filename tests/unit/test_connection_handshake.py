"""A TLS handshake as a state of the connection: what it waits for, how long, how it ends."""

import contextlib
import socket
import ssl
from types import SimpleNamespace

import pytest
from http_helpers import Log, NoWaiting, settings
from tls_helpers import authority, client_context

from cyserve.http.connection import CLOSE, READ, RUN, WRITE, Connection
from cyserve.http.context import NEVER, Context
from cyserve.http.environ import Endpoint
from cyserve.http.tls import TLSTransport

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


class Peer:
    """A connection that was just accepted, and a client that speaks by hand.

    changes: settings other than the defaults.
    """

    def __init__(self, **changes):
        ours, self.raw = socket.socketpair()
        self.raw.settimeout(10)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority().issue_cert("localhost").configure_cert(context)
        cfg = settings(is_ssl="cert", **changes)
        self.log = Log()
        endpoint = Endpoint(
            cfg, SimpleNamespace(getsockname=lambda: ("127.0.0.1", 443)), multithread=False
        )
        transport = TLSTransport(ours, NoWaiting(), context)
        self.connection = Connection(transport, ("192.0.2.7", 1), endpoint, Context(cfg, self.log))
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = client_context().wrap_bio(
            self.incoming, self.outgoing, server_hostname="localhost"
        )

    def speak(self, last=b""):
        """Send what the handshake needs next; `last` is said once it is done."""
        try:
            self.tls.do_handshake()
            self.tls.write(last)
        except ssl.SSLWantReadError:
            pass
        self.raw.sendall(self.outgoing.read())

    def listen(self):
        self.incoming.write(self.raw.recv(1 << 16))


@pytest.fixture
def peers(kernel):
    made = []

    def make(**changes):
        made.append(Peer(**changes))
        return made[-1]

    yield make
    for peer in made:
        peer.connection.close()
        peer.raw.close()


def test_the_request_is_there_as_soon_as_the_handshake_ends(peers):
    peer = peers()
    connection = peer.connection
    assert connection.start(100.0) == READ
    assert connection.deadline == 105.0
    assert connection.idle_since == 100.0
    peer.speak()
    assert connection.proceed(101.0) == READ
    assert connection.deadline == 105.0
    peer.listen()
    peer.speak(GET)
    assert connection.proceed(102.0) == RUN
    assert connection.request is not None
    assert connection.endpoint.template["wsgi.url_scheme"] == "https"
    assert (
        connection.endpoint.template_of(connection)["gunicorn.socket"] is connection.transport.sock
    )


def test_the_time_for_the_head_begins_after_the_handshake(peers):
    peer = peers(client_header_timeout=7)
    peer.speak()
    assert peer.connection.start(100.0) == READ
    peer.listen()
    peer.speak(GET[:5])
    assert peer.connection.proceed(104.0) == READ
    assert peer.connection.deadline == 111.0


def test_no_limit(peers):
    peer = peers(ssl_handshake_timeout=0)
    assert peer.connection.start(100.0) == READ
    assert peer.connection.deadline == NEVER


def test_a_handshake_that_takes_too_long_ends_silently(peers):
    peer = peers()
    peer.speak()
    assert peer.connection.start(100.0) == READ
    assert peer.connection.expire(105.0) == CLOSE
    assert peer.log.lines == []


def test_what_came_in_time_is_heeded_when_the_deadline_passes(peers):
    peer = peers()
    assert peer.connection.start(100.0) == READ
    peer.speak()
    peer.connection.proceed(101.0)
    peer.listen()
    peer.speak(GET)
    assert peer.connection.expire(105.0) == RUN


def test_a_client_that_takes_nothing_has_no_more_time(peers):
    peer = peers()
    peer.speak()
    sock = peer.connection.transport.sock
    with contextlib.suppress(BlockingIOError):
        while True:
            socket.socket.send(sock, b"x" * 65536)
    assert peer.connection.start(100.0) == WRITE
    assert peer.connection.proceed(104.0) == WRITE
    assert peer.connection.expire(105.0) == CLOSE


def test_plain_http_is_answered_and_logged(peers):
    peer = peers()
    peer.raw.sendall(GET)
    assert peer.connection.start(100.0) == READ  # it lingers: the client may not have read yet
    assert peer.raw.recv(65536).startswith(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n")
    assert peer.raw.recv(10) == b""
    assert peer.log.lines == [
        (
            "warning",
            "Invalid request from ip=192.0.2.7: The plain HTTP request was sent to HTTPS port",
        )
    ]
    peer.raw.close()
    assert peer.connection.proceed(100.0) == CLOSE


def test_garbage_is_logged(peers):
    peer = peers()
    peer.raw.sendall(b"\0" * 100)
    assert peer.connection.start(100.0) == CLOSE
    ((level, text),) = peer.log.lines
    assert level == "warning"
    assert text.startswith("Invalid request from ip=192.0.2.7: [SSL")


def test_a_client_that_leaves_is_not_worth_a_warning(peers):
    peer = peers()
    peer.speak()
    peer.connection.start(100.0)
    peer.raw.close()
    assert peer.connection.proceed(101.0) == CLOSE
    ((level, text),) = peer.log.lines
    assert level == "debug"
    assert text.startswith("The client left during the TLS handshake: ")


# -- behind a PROXY header, which comes in the clear --

PROXY = b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 80\r\n"


@pytest.fixture
def proxied(peers):
    return peers(proxy_protocol="auto", proxy_allow_ips=["192.0.2.7"])


@pytest.mark.parametrize("header", [PROXY, b""])
@pytest.mark.parametrize("together", [True, False])
def test_a_header_comes_before_the_handshake(proxied, header, together):
    connection = proxied.connection
    proxied.raw.sendall(header)
    if together:
        proxied.speak()
        assert connection.start(100.0) == READ
    else:
        assert connection.start(100.0) == READ
        proxied.speak()
        assert connection.proceed(101.0) == READ
    proxied.listen()
    proxied.speak(GET)
    assert connection.proceed(102.0) == RUN
    assert connection.deadline == NEVER
    assert connection.endpoint.template_of(connection)["REMOTE_ADDR"] == (
        "1.2.3.4" if header else "192.0.2.7"
    )


@pytest.mark.parametrize("begun", [b"P", b"PROXY", b"\r\n", b"\r\n\r\n\0"])
def test_nothing_in_the_clear_becomes_part_of_what_is_encrypted(proxied, begun):
    connection = proxied.connection
    proxied.raw.sendall(begun)
    assert connection.start(100.0) == READ
    proxied.speak()
    connection.proceed(100.0)
    assert proxied.raw.recv(1 << 16).startswith(b"HTTP/1.1 400 ")
    assert len(proxied.log.lines) == 1


@pytest.mark.parametrize("header", [b"PROXY nothing\r\n", PROXY.replace(b"80", b"99999")])
def test_a_bad_header_is_answered_in_the_clear(proxied, header):
    proxied.raw.sendall(header)
    proxied.connection.start(100.0)
    assert proxied.raw.recv(1 << 16).startswith(b"HTTP/1.1 400 ")
    assert len(proxied.log.lines) == 1


def test_a_header_within_tls_is_no_header(proxied):
    connection = proxied.connection
    proxied.speak()
    assert connection.start(100.0) == READ
    proxied.listen()
    proxied.speak(PROXY + GET)
    connection.proceed(100.0)
    assert connection.request is None
    assert connection.endpoint.template_of(connection).get("REMOTE_ADDR") != "1.2.3.4"
    assert len(proxied.log.lines) == 1


@pytest.mark.parametrize("begun", [b"", b"PROX", PROXY[:-1], PROXY])
def test_a_client_that_goes_away_before_the_handshake(proxied, begun):
    proxied.raw.sendall(begun)
    proxied.raw.close()
    step = proxied.connection.start(100.0)
    while step == READ:
        step = proxied.connection.proceed(100.0)
    assert step == CLOSE
    assert [line for line in proxied.log.lines if line[0] == "warning"] == []


def test_a_header_that_does_not_come_in_time(proxied):
    proxied.raw.sendall(PROXY[:-1])
    assert proxied.connection.start(100.0) == READ
    proxied.connection.expire(105.0)
    assert proxied.raw.recv(1 << 16).startswith(b"HTTP/1.1 408 ")
