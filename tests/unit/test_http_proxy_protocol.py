"""The PROXY protocol: what is taken for a header, what it says, and what is left in the socket."""

import socket
import struct

import pytest
from http_helpers import Peer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cyserve._errors import InvalidProxyHeader, InvalidProxyLine
from cyserve.http.connection import CLOSE, READ, RUN
from cyserve.http.proxy_protocol import ABSENT, UNSURE, V1, V2, ProxyHeader, parse, recognise, take

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
IPV4 = bytes([1, 2, 3, 4, 5, 6, 7, 8]) + struct.pack("!HH", 1111, 80)
IPV6 = (
    bytes.fromhex("20010db8000000000000000000000001")
    + bytes(15)
    + b"\1"
    + struct.pack("!HH", 2222, 443)
)
TCP4 = b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 80\r\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def block(command, family, body, length=None):
    """A header of version 2."""
    size = len(body) if length is None else length
    return SIGNATURE + bytes([command, family]) + struct.pack("!H", size) + body


def names(protocol, *rest):
    return ProxyHeader(protocol, *rest)


VALID = {
    "v1 TCP4": (TCP4, names("TCP4", "1.2.3.4", 1111, "5.6.7.8", 80)),
    "v1 TCP6": (
        b"PROXY TCP6 2001:DB8:0::1 ::ffff:1.2.3.4 0 65535\r\n",
        names("TCP6", "2001:DB8:0::1", 0, "::ffff:1.2.3.4", 65535),
    ),
    "v1 longest": (
        b"PROXY UNKNOWN %s %s 65535 65535\r\n" % ((b"ffff:" * 8)[:-1], (b"ffff:" * 8)[:-1]),
        names("UNKNOWN"),
    ),
    "v1 UNKNOWN": (b"PROXY UNKNOWN\r\n", names("UNKNOWN")),
    "v1 UNKNOWN, anything": (b"PROXY UNKNOWN what ever\r\n", names("UNKNOWN")),
    "v2 TCP4": (block(0x21, 0x11, IPV4), names("TCP4", "1.2.3.4", 1111, "5.6.7.8", 80)),
    "v2 TCP6": (block(0x21, 0x21, IPV6), names("TCP6", "2001:db8::1", 2222, "::1", 443)),
    "v2 UDP4": (block(0x21, 0x12, IPV4), names("UDP4", "1.2.3.4", 1111, "5.6.7.8", 80)),
    "v2 UDP6": (block(0x21, 0x22, IPV6), names("UDP6", "2001:db8::1", 2222, "::1", 443)),
    "v2 with TLVs": (
        block(0x21, 0x11, IPV4 + b"\x04\0\x01x\x20\xff"),
        names("TCP4", "1.2.3.4", 1111, "5.6.7.8", 80),
    ),
    "v2 LOCAL": (block(0x20, 0x00, b""), names("LOCAL")),
    "v2 LOCAL with addresses": (block(0x20, 0x11, IPV4), names("LOCAL")),
    "v2 LOCAL, no such family": (block(0x20, 0xFF, b"abc"), names("LOCAL")),
    "v2 UNSPEC": (block(0x21, 0x00, b""), names("UNSPEC")),
    "v2 UNSPEC with bytes": (block(0x21, 0x00, IPV4), names("UNSPEC")),
    "v2 UNSPEC stream": (block(0x21, 0x01, b""), names("UNSPEC")),
    "v2 IPv4, UNSPEC": (block(0x21, 0x10, IPV4), names("UNSPEC")),
    "v2 UNIX stream": (block(0x21, 0x31, b"/a".ljust(108, b"\0") * 2), names("UNSPEC")),
    "v2 UNIX datagram": (block(0x21, 0x32, bytes(216)), names("UNSPEC")),
}

BAD_LINES = {
    "protocol in lower case": b"PROXY tcp4 1.2.3.4 5.6.7.8 1111 80\r\n",
    "no such protocol": b"PROXY UDP4 1.2.3.4 5.6.7.8 1111 80\r\n",
    "UNKNOWN and more": b"PROXY UNKNOWNS\r\n",
    "two spaces": b"PROXY  TCP4 1.2.3.4 5.6.7.8 1111 80\r\n",
    "tab": b"PROXY TCP4\t1.2.3.4 5.6.7.8 1111 80\r\n",
    "space at the end": b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 80 \r\n",
    "field too many": b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 80 1\r\n",
    "field too few": b"PROXY TCP4 1.2.3.4 5.6.7.8 1111\r\n",
    "nothing": b"PROXY \r\n",
    "LF alone": b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 80\n",
    "CR CR LF": b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 80\r\r\n",
    "CR within UNKNOWN": b"PROXY UNKNOWN a\rb\r\n",
    "port with zero": b"PROXY TCP4 1.2.3.4 5.6.7.8 0080 80\r\n",
    "port with sign": b"PROXY TCP4 1.2.3.4 5.6.7.8 +80 80\r\n",
    "port with underscore": b"PROXY TCP4 1.2.3.4 5.6.7.8 8_0 80\r\n",
    "port below": b"PROXY TCP4 1.2.3.4 5.6.7.8 -1 80\r\n",
    "source port above": b"PROXY TCP4 1.2.3.4 5.6.7.8 65536 80\r\n",
    "destination port above": b"PROXY TCP4 1.2.3.4 5.6.7.8 80 99999\r\n",
    "port in other digits": "PROXY TCP4 1.2.3.4 5.6.7.8 \xb2 80\r\n".encode("latin-1"),
    "octet above": b"PROXY TCP4 1.2.3.400 5.6.7.8 1111 80\r\n",
    "three octets": b"PROXY TCP4 1.2.3 5.6.7.8 1111 80\r\n",
    "octet with zero": b"PROXY TCP4 01.2.3.4 5.6.7.8 1111 80\r\n",
    "IPv6 for TCP4": b"PROXY TCP4 ::1 ::1 1111 80\r\n",
    "IPv4 for TCP6": b"PROXY TCP6 1.2.3.4 1.2.3.4 1111 80\r\n",
    "IPv6 zone": b"PROXY TCP6 fe80::1%eth0 ::1 1111 80\r\n",
    "host name": b"PROXY TCP4 localhost 5.6.7.8 1111 80\r\n",
    "NUL": b"PROXY TCP4 1.2.3.4\0 5.6.7.8 1111 80\r\n",
    "too long": b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    "without end": b"PROXY " * 100,
}

BAD_BLOCKS = {
    "unsupported version 1": block(0x11, 0x11, IPV4),
    "unsupported version 0": block(0x00, 0x11, IPV4),
    "unsupported command 2": block(0x22, 0x11, IPV4),
    "unsupported protocol 0x41": block(0x21, 0x41, IPV4),
    "unsupported protocol 0x13": block(0x21, 0x13, IPV4),
    "the addresses are cut short": block(0x21, 0x11, IPV4[:-1]),
    "the addresses are cut short ": block(0x21, 0x21, IPV6[:12]),
    "the addresses are cut short  ": block(0x21, 0x11, b""),
}

by_name = pytest.mark.parametrize(("header", "said"), VALID.values(), ids=VALID)


def version_of(header):
    return V1 if header.startswith(b"PROXY") else V2


@pytest.fixture
def pair():
    """A connected pair, the first end non-blocking."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


# -- what is a header --


@pytest.mark.parametrize("mode", ["v1", "v2", "auto"])
@by_name
def test_recognised_as_early_as_possible(mode, header, said):
    version = version_of(header)
    wanted = mode == "auto" or mode == f"v{version}"
    signature = 6 if version == V1 else 12
    for size in range(1, len(header)):
        expected = ABSENT if not wanted else UNSURE if size < signature else version
        assert recognise(header[:size], mode) == expected


@pytest.mark.parametrize("first", [b"G", b"POST", b"\r\nGET", b"\x16\x03\x01", b"PROXY\r\n", b"p"])
def test_http_and_tls_are_recognised_without_waiting(first):
    assert recognise(first, "auto") == ABSENT


# -- what it says --


@by_name
def test_header_is_consumed_exactly(io, header, said):
    buffer = io.InputBuffer(header + REQUEST)
    assert parse(buffer, version_of(header)) == said
    assert buffer.take(1000) == REQUEST


@by_name
def test_nothing_is_consumed_while_bytes_are_missing(io, header, said):
    version = version_of(header)
    for size in range(len(header)):
        buffer = io.InputBuffer(header[:size])
        assert parse(buffer, version) is None
        assert buffer.peek(1000) == header[:size]


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES)
def test_bad_line(io, line):
    with pytest.raises(InvalidProxyLine) as caught:
        parse(io.InputBuffer(line + REQUEST), V1)
    assert caught.value.status == 400
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1", "'{}'"),
        ("PROXY UDP4 1.2.3.4 5.6.7.8 1 2", "\"protocol 'UDP4' not supported\""),
        ("PROXY TCP4 1.2.3.444 5.6.7.8 1 x", "'{}'"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 x", "'invalid port {}'"),
    ],
)
def test_what_is_said_of_a_bad_line(io, line, words):
    with pytest.raises(InvalidProxyLine) as caught:
        parse(io.InputBuffer(f"{line}\r\n".encode()), V1)
    assert str(caught.value) == f"Invalid PROXY line: {words.format(line)}"


def test_line_without_end_is_refused_at_its_107th_byte(io):
    endless = b"PROXY " * 100
    assert parse(io.InputBuffer(endless[:106]), V1) is None
    with pytest.raises(InvalidProxyLine):
        parse(io.InputBuffer(endless[:107]), V1)


@pytest.mark.parametrize(("why", "header"), BAD_BLOCKS.items(), ids=BAD_BLOCKS)
def test_bad_block(io, why, header):
    with pytest.raises(InvalidProxyHeader) as caught:
        parse(io.InputBuffer(header), V2)
    assert caught.value.status == 400
    assert str(caught.value) == f"Invalid PROXY header: {why.strip()}"


def test_environ_with_and_without_addresses():
    assert names("TCP4", "1.2.3.4", 1111, "5.6.7.8", 80).environ() == {
        "PROXY_PROTOCOL": "TCP4",
        "PROXY_ADDR": "5.6.7.8",
        "PROXY_PORT": "80",
        "REMOTE_ADDR": "1.2.3.4",
        "REMOTE_PORT": "1111",
    }
    assert names("LOCAL").environ() == {"PROXY_PROTOCOL": "LOCAL"}


@settings(
    max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    start=st.sampled_from(
        [
            b"",
            b"PROXY ",
            b"PROXY TCP4 1.2.3.4 ",
            b"PROXY TCP6 ::1 ",
            SIGNATURE,
            SIGNATURE + b"\x21\x11",
            SIGNATURE + b"\x21\x21\0\x24",
        ]
    ),
    rest=st.one_of(
        st.binary(max_size=150), st.text("0123456789 .:\r\n", max_size=90).map(str.encode)
    ),
)
def test_anything_is_a_header_or_an_error_or_not_yet_there(io, start, rest):
    data = start + rest
    buffer = io.InputBuffer(data)
    version = recognise(data, "auto")
    if version <= 0:
        return
    try:
        header = parse(buffer, version)
    except (InvalidProxyLine, InvalidProxyHeader):
        return
    left = buffer.take(1000)
    assert data.endswith(left)
    if header is None:
        assert left == data
    elif header.client_addr is not None:
        family = socket.AF_INET6 if header.proxy_protocol.endswith("6") else socket.AF_INET
        socket.inet_pton(family, header.client_addr)
        assert 0 <= header.client_port <= 65535


# -- what is left in the socket --


@by_name
def test_only_the_header_leaves_the_socket(io, pair, header, said):
    ours, theirs = pair
    theirs.sendall(header + REQUEST)
    buffer = io.InputBuffer()
    version = take(ours.fileno(), buffer, "auto")
    assert version == version_of(header)
    assert parse(buffer, version) == said
    assert len(buffer) == 0
    assert ours.recv(1000) == REQUEST


@by_name
def test_header_at_every_split(io, header, said):
    for size in range(1, len(header)):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            buffer = io.InputBuffer()
            theirs.sendall(header[:size])
            version = take(ours.fileno(), buffer, "auto")
            assert version in {UNSURE, version_of(header)}
            assert version == UNSURE or parse(buffer, version) is None
            assert buffer.peek(1000) == header[:size]  # else the socket would stay readable
            theirs.sendall(header[size:] + REQUEST)
            version = take(ours.fileno(), buffer, "auto")
            assert parse(buffer, version) == said
            assert ours.recv(1000) == REQUEST


def test_header_byte_by_byte(io, pair):
    ours, theirs = pair
    buffer = io.InputBuffer()
    for byte in TCP4[:-1]:
        theirs.sendall(bytes([byte]))
        version = take(ours.fileno(), buffer, "auto")
        assert version == UNSURE or parse(buffer, version) is None
    theirs.sendall(TCP4[-1:] + REQUEST[:1])
    assert take(ours.fileno(), buffer, "auto") == V1
    assert parse(buffer, V1) == VALID["v1 TCP4"][1]
    assert ours.recv(1000) == REQUEST[:1]


def test_large_header_comes_in_parts(io, pair):
    ours, theirs = pair
    theirs.sendall(block(0x21, 0x11, IPV4 + bytes(65535 - 12)) + REQUEST)
    buffer = io.InputBuffer()
    while (header := parse(buffer, V2)) is None:
        assert take(ours.fileno(), buffer, "v2") == V2
        assert len(buffer) <= 65551
    assert header == VALID["v2 TCP4"][1]
    assert ours.recv(1000) == REQUEST


@pytest.mark.parametrize("first", [REQUEST, b"\x16\x03\x01\x02", TCP4[1:]])
def test_without_a_header_nothing_leaves_the_socket(io, pair, first):
    ours, theirs = pair
    theirs.sendall(first)
    buffer = io.InputBuffer()
    assert take(ours.fileno(), buffer, "auto") == ABSENT
    assert len(buffer) == 0
    assert ours.recv(1000) == first


def test_what_could_have_been_a_header_is_kept(io, pair):
    ours, theirs = pair
    buffer = io.InputBuffer()
    theirs.sendall(b"P")
    assert take(ours.fileno(), buffer, "auto") == UNSURE
    theirs.sendall(b"OST / HTTP/1.1\r\n")
    assert take(ours.fileno(), buffer, "auto") == ABSENT
    assert buffer.take(1000) + ours.recv(1000) == b"POST / HTTP/1.1\r\n"


def test_header_of_the_other_version(io, pair):
    ours, theirs = pair
    theirs.sendall(TCP4)
    assert take(ours.fileno(), io.InputBuffer(), "v2") == ABSENT
    assert ours.recv(1000) == TCP4


def test_nothing_to_take_and_end_of_stream(io, pair):
    ours, theirs = pair
    buffer = io.InputBuffer()
    assert take(ours.fileno(), buffer, "auto") == UNSURE
    theirs.sendall(b"PROX")
    theirs.shutdown(socket.SHUT_WR)
    assert take(ours.fileno(), buffer, "auto") == UNSURE
    with pytest.raises(ConnectionError):
        take(ours.fileno(), buffer, "auto")


@pytest.mark.timeout(30)
def test_default_timeout_of_the_application_is_not_heeded(io, pair):
    socket.setdefaulttimeout(60)
    try:
        assert take(pair[0].fileno(), io.InputBuffer(), "auto") == UNSURE
    finally:
        socket.setdefaulttimeout(None)


def test_reset_connection(io, pair):
    ours, theirs = pair
    ours.send(b"never read")  # closing an end with unread bytes resets the other
    theirs.close()
    with pytest.raises(ConnectionResetError):
        take(ours.fileno(), io.InputBuffer(), "auto")


# -- on a connection --


@pytest.fixture
def connect(kernel):
    """connect(sent, ...) -> the peer, after the connection has been started."""
    peers = []

    def make(sent=b"", **changes):
        peer = Peer(sent, **{"proxy_protocol": "auto", **changes})
        peers.append(peer)
        peer.step = peer.connection.start(0.0)
        return peer

    yield make
    for peer in peers:
        peer.close()


def client_of(peer):
    environ = peer.endpoint.make_environ(peer.connection.request, None)
    return environ["REMOTE_ADDR"], environ["REMOTE_PORT"]


def answer(peer):
    """End the request as the cycle does, on a connection that goes on."""
    peer.connection.keep = True
    peer.connection.finish_request()
    return peer.connection.answered(0.0)


def test_address_is_kept_for_the_whole_connection(connect):
    peer = connect(TCP4 + REQUEST + REQUEST)
    assert (peer.step, client_of(peer)) == (RUN, ("1.2.3.4", "1111"))
    assert (answer(peer), client_of(peer)) == (RUN, ("1.2.3.4", "1111"))  # pipelined
    assert answer(peer) == READ
    peer.client.sendall(REQUEST)
    assert (peer.connection.proceed(0.0), client_of(peer)) == (RUN, ("1.2.3.4", "1111"))
    request = peer.connection.request
    assert request.proxy_protocol_info == {
        "proxy_protocol": "TCP4",
        "client_addr": "1.2.3.4",
        "client_port": 1111,
        "proxy_addr": "5.6.7.8",
        "proxy_port": 80,
    }
    assert request.peer_addr == request.remote_addr == ("127.0.0.1", 4711)


@pytest.mark.parametrize("again", [TCP4, block(0x21, 0x11, IPV4)])
@pytest.mark.parametrize("first", [TCP4, b""])
def test_header_before_a_later_request(connect, first, again):
    peer = connect(first + REQUEST)
    assert answer(peer) == READ
    peer.client.sendall(again + REQUEST)
    peer.connection.proceed(0.0)
    assert peer.connection.request is None
    assert peer.received().startswith(b"HTTP/1.1 400 ")


def test_other_connections_of_the_listener_are_not_touched(connect):
    proxied, plain = connect(TCP4 + REQUEST), connect(REQUEST)
    assert client_of(proxied) == ("1.2.3.4", "1111")
    assert client_of(plain) == ("127.0.0.1", "4711")
    assert plain.connection.request.proxy_protocol_info is None


@pytest.mark.parametrize("sent", [b"PROXY ", TCP4 + REQUEST, SIGNATURE, block(0x20, 0, b"")])
def test_stranger_is_refused_without_reading_on(connect, sent):
    peer = connect(sent, address=("192.0.2.7", 4711))
    assert peer.received().startswith(b"HTTP/1.1 403 ")
    assert peer.log.lines == [
        ("warning", "Invalid request from ip=192.0.2.7: Proxy request from '192.0.2.7' not allowed")
    ]


@pytest.mark.parametrize(
    ("address", "allowed"),
    [(("192.0.2.7", 1), ["192.0.2.0/24"]), (("192.0.2.7", 1), ["*"]), ("", [])],
)
def test_who_may(connect, address, allowed):
    peer = connect(TCP4 + REQUEST, address=address, proxy_allow_ips=allowed)
    assert (peer.step, client_of(peer)) == (RUN, ("1.2.3.4", "1111"))


def test_trust_is_about_the_socket_peer(connect):
    fields = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n"
    peer = connect(TCP4 + fields)
    assert peer.endpoint.make_environ(peer.connection.request, None)["wsgi.url_scheme"] == "https"
    peer = connect(TCP4 + fields, forwarded_allow_ips=["1.2.3.4"])
    assert peer.endpoint.make_environ(peer.connection.request, None)["wsgi.url_scheme"] == "http"


def test_peer_that_has_gone_is_not_reported(connect):
    """A load balancer's check: a header, then a reset; accept could not tell who it was."""
    peer = connect(block(0x20, 0, b""), address=("", 0))
    assert (peer.step, peer.log.lines) == (CLOSE, [])


@pytest.mark.parametrize("begun", [b"P", b"\r\n", TCP4[:-1], SIGNATURE + b"\x21"])
def test_header_that_does_not_come_in_time(connect, begun):
    peer = connect(begun)
    assert (peer.step, peer.connection.deadline) == (READ, 5.0)
    peer.connection.expire(5.0)
    assert peer.received().startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("sent", [b"", TCP4])
def test_nothing_but_a_header(connect, sent):
    peer = connect(sent)
    assert (peer.step, peer.connection.deadline) == (READ, 5.0)
    assert peer.connection.expire(5.0) == CLOSE
    assert peer.log.lines == []


@pytest.mark.parametrize("begun", [b"", b"PROX", TCP4[:-1], TCP4])
def test_client_that_goes_away(connect, begun):
    peer = connect(begun)
    peer.client.close()
    while (step := peer.connection.proceed(0.0)) == READ:
        pass
    assert (step, peer.log.lines) == (CLOSE, [])


def test_off(connect):
    peer = connect(TCP4 + REQUEST, proxy_protocol="off")
    assert peer.received().startswith(b"HTTP/1.1 400 ")
