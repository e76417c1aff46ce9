"""The PROXY protocol between real processes: whose word counts, and for how long.

A header that is believed makes up the client's address, so what matters is who may send one, that
it can only be the first thing on a connection, and that it holds exactly as long as that.
"""

import json
import re
import socket
import ssl
import struct

import pytest
from harness import differs
from http_client import Client, request_bytes
from tls_helpers import client_context, make_files

TCP4 = b"PROXY TCP4 192.0.2.1 198.51.100.2 1111 80\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ADDRESSES = socket.inet_aton("192.0.2.1") + socket.inet_aton("198.51.100.2")
BLOCK = SIGNATURE + b"\x21\x11\0\x0c" + ADDRESSES + struct.pack("!HH", 1111, 80)
LOCAL = SIGNATURE + b"\x20\x11\0\x0c" + BLOCK[16:]
ASK = request_bytes("/environ")
OK = request_bytes("/ok")

CLIENT = {
    "PROXY_PROTOCOL": "TCP4",
    "PROXY_ADDR": "198.51.100.2",
    "PROXY_PORT": "80",
    "REMOTE_ADDR": "192.0.2.1",
    "REMOTE_PORT": "1111",
}

HOOK = """
def pre_request(worker, req):
    peers = {req.peer_addr[:1], req.remote_addr[:1]}
    print("info", req.proxy_protocol_info, *peers, flush=True)
"""


def addresses_of(response):
    """What the environ says about who is speaking."""
    assert response.status == 200, response.raw_head
    environ = json.loads(response.body)
    return {key: environ[key] for key in environ if key.startswith(("PROXY_", "REMOTE_"))}


def ask(server, sent, where=0):
    """The addresses that the application sees, and the client's own."""
    with Client(server.addresses[where]) as client:
        client.send(sent)
        own = client.sock.getsockname()
        return addresses_of(client.read_response()), own


@pytest.fixture(scope="module")
def server(start_module_server, kernel):
    """Reads headers of both versions; addresses[1] is a unix socket."""
    return start_module_server(
        "requests_app:app",
        "--proxy-protocol",
        "--access-logfile=-",
        "--access-logformat=access %(h)s %(s)s",
        bind=["127.0.0.1:0", "unix:http.sock"],
        config=HOOK,
        kernel=kernel,
    )


@pytest.mark.parametrize("header", [TCP4, BLOCK, BLOCK[:14] + b"\0\x0f" + BLOCK[16:] + b"\4\0\0"])
def test_the_application_sees_the_client(server, header):
    mark = server.log_mark()
    assert ask(server, header + ASK)[0] == CLIENT
    server.wait_log(r"^access 192\.0\.2\.1 200$", since=mark)
    info = {
        "proxy_protocol": "TCP4",
        "client_addr": "192.0.2.1",
        "client_port": 1111,
        "proxy_addr": "198.51.100.2",
        "proxy_port": 80,
    }
    server.wait_log(rf"^info {re.escape(str(info))} \('127.0.0.1',\)$", since=mark)


def test_ipv6(server):
    header = b"PROXY TCP6 2001:db8::1 2001:db8::2 1111 443\r\n"
    assert ask(server, header + ASK)[0] == {
        "PROXY_PROTOCOL": "TCP6",
        "PROXY_ADDR": "2001:db8::2",
        "PROXY_PORT": "443",
        "REMOTE_ADDR": "2001:db8::1",
        "REMOTE_PORT": "1111",
    }


def test_without_a_header(server):
    mark = server.log_mark()
    seen, own = ask(server, ASK)
    assert seen == {"REMOTE_ADDR": own[0], "REMOTE_PORT": str(own[1])}
    server.wait_log(r"^info None \('127.0.0.1',\)$", since=mark)


@differs("proxy-v1-unknown", "proxy-v2-local")
@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b"PROXY UNKNOWN\r\n", "UNKNOWN"),
        (b"PROXY UNKNOWN 192.0.2.1 198.51.100.2 1111 80\r\n", "UNKNOWN"),
        (LOCAL, "LOCAL"),
        (SIGNATURE + b"\x21\0\0\0", "UNSPEC"),
        (SIGNATURE + b"\x21\x31\0\xd8" + b"/run/x".ljust(108, b"\0") * 2, "UNSPEC"),
    ],
)
def test_header_without_a_client(server, header, name):
    seen, own = ask(server, header + ASK)
    assert seen == {"PROXY_PROTOCOL": name, "REMOTE_ADDR": own[0], "REMOTE_PORT": str(own[1])}


def test_a_peer_on_a_unix_socket_may_always_send_one(server):
    assert ask(server, TCP4 + ASK, where=1)[0] == CLIENT


def test_header_byte_by_byte(server):
    with Client(server.addresses[1]) as client:
        client.send_apart(*(bytes([byte]) for byte in TCP4 + ASK))
        assert addresses_of(client.read_response()) == CLIENT


def test_request_byte_by_byte_without_a_header(server):
    post = request_bytes("/environ", "POST")  # begins as PROXY does
    with Client(server.addresses[1]) as client:
        client.send_apart(*(bytes([byte]) for byte in post))
        assert addresses_of(client.read_response()) == {"REMOTE_ADDR": ""}


@differs("proxy-bad-v2")
@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP4 192.0.2.1 198.51.100.2 1111 99999\r\n",
        b"PROXY TCP4 192.0.2.1\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 1111 80\n",
        SIGNATURE + b"\x21\x11\0\x04" + bytes(4),
        SIGNATURE + b"\x31\x11\0\x0c" + BLOCK[16:],
        SIGNATURE + b"\x2f\x11\0\x0c" + BLOCK[16:],
        SIGNATURE + b"\x21\xf1\0\x0c" + BLOCK[16:],
        TCP4 + TCP4,
        TCP4 + BLOCK,
    ],
)
def test_bad_header(server, header):
    mark = server.log_mark()
    with server.connect() as client:
        client.send(header + OK)
        assert client.read_response().status == 400
        assert client.read_to_eof() == b""
    server.wait_log(r"\[WARNING\] Invalid request from ip=127\.0\.0\.1: Invalid ", since=mark)
    assert "Traceback" not in server.log_text(mark)
    assert server.request("/ok").status == 200


@differs("refused-logged")
def test_refused_requests_are_the_clients(server):
    mark = server.log_mark()
    with server.connect() as client:
        client.send(TCP4 + b"GET nothing HTTP/1.1\r\n\r\n")
        assert client.read_response().status == 400
    server.wait_log(r"^access 192\.0\.2\.1 400$", since=mark)
    with server.connect() as client:
        client.send(b"PROXY nothing\r\n")
        assert client.read_response().status == 400
    server.wait_log(r"^access 127\.0\.0\.1 400$", since=mark)


@differs("proxy-line-limit")
def test_line_that_does_not_end(server):
    with server.connect() as client:
        client.send(b"PROXY " * 18)  # 108 bytes: no more is needed to be refused
        assert client.read_response().status == 400
        assert client.read_to_eof() == b""


@differs("slow-clients")
def test_headers_that_do_not_come(start_server):
    server = start_server(
        "requests_app:app", "--proxy-protocol=auto", config="client_header_timeout = 1"
    )
    begun = [b"P", TCP4[:-1], SIGNATURE, BLOCK[:-1]]
    clients = [server.connect().send(first) for first in begun]
    assert server.request("/ok").status == 200
    for client in clients:
        with client:
            assert client.read_response().status == 408
            assert client.read_to_eof() == b""


# -- who may --


@pytest.mark.parametrize("header", [TCP4, BLOCK, LOCAL, b"PROXY what is this\r\n"])
def test_a_stranger_is_refused(start_server, header):
    mode = "V1" if header.startswith(b"PROXY") else "v2"
    server = start_server(
        "requests_app:app", f"--proxy-protocol={mode}", "--proxy-allow-from=10.0.0.0/8"
    )
    with server.connect() as client:
        client.send(header + OK)
        response = client.read_response()
        assert (response.status, response.reason) == (403, "Forbidden")
        assert b"Request forbidden" in response.body
        assert client.read_to_eof() == b""
    server.wait_log(r"ip=127\.0\.0\.1: Proxy request from '127\.0\.0\.1' not allowed")
    assert server.request("/ok").status == 200  # and without a header it is a client like others


def test_trust_in_other_fields_is_about_the_proxy(start_server):
    server = start_server(
        "requests_app:app", "--proxy-protocol=auto", "--forwarded-allow-ips=192.0.2.1"
    )
    with server.connect() as client:
        client.send(TCP4 + request_bytes("/environ", headers=[("X-Forwarded-Proto", "https")]))
        assert json.loads(client.read_response().body)["wsgi.url_scheme"] == "http"


@pytest.mark.parametrize(("mode", "header"), [("off", TCP4), ("v1", BLOCK), ("v2", TCP4)])
def test_header_that_is_not_expected(start_server, mode, header):
    server = start_server("requests_app:app", f"--proxy-protocol={mode}")
    with server.connect() as client:
        client.send(header + OK)
        assert client.read_response().status == 400
        assert client.read_to_eof() == b""
    assert server.request("/ok").status == 200


# -- for how long --


@pytest.fixture(scope="module", params=["gthread", "gevent"])
def keeping_server(start_module_server, kernel, request):
    """Keeps connections alive."""
    if request.param == "gevent":
        pytest.importorskip("gevent")
    args = (f"--worker-class={request.param}", "--proxy-protocol=auto")
    return start_module_server("requests_app:app", *args, kernel=kernel)


@differs("proxy-kept")
@pytest.mark.parametrize("header", [TCP4, BLOCK])
def test_the_address_is_kept_as_long_as_the_connection(keeping_server, header):
    with keeping_server.connect() as client:
        client.send(header + ASK)
        assert addresses_of(client.read_response()) == CLIENT
        client.send(ASK)
        assert addresses_of(client.read_response()) == CLIENT
        client.send(ASK * 3)
        for _ in range(3):
            assert addresses_of(client.read_response()) == CLIENT
    with keeping_server.connect() as client:  # and no longer
        client.send(ASK)
        assert "PROXY_ADDR" not in addresses_of(client.read_response())


@pytest.mark.parametrize("pipelined", [False, True])
@pytest.mark.parametrize("first", [TCP4, b""])
@pytest.mark.parametrize("again", [TCP4, BLOCK])
def test_a_header_before_a_later_request(keeping_server, first, again, pipelined):
    with keeping_server.connect() as client:
        if pipelined:
            client.send(first + ASK + again + ASK)
            addresses_of(client.read_response())
        else:
            client.send(first + ASK)
            addresses_of(client.read_response())
            client.send(again + ASK)
        assert client.read_response().status == 400
        assert client.read_to_eof() == b""


# -- before TLS --


@pytest.fixture(scope="module")
def tls_server(start_module_server, tmp_path_factory, kernel):
    """Speaks TLS behind the header."""
    files = make_files(tmp_path_factory.mktemp("certificates"))
    return start_module_server(
        "requests_app:app", *files.args(), "--threads=2", "--proxy-protocol=auto", kernel=kernel
    )


def begin_tls(client):
    client.sock = client_context().wrap_socket(client.sock, server_hostname="localhost")
    return client


@differs("tls-proxy-order")
@pytest.mark.parametrize("header", [TCP4, BLOCK, b""])
def test_header_before_tls(tls_server, header):
    with tls_server.connect() as client:
        begin_tls(client.send(header))
        for _ in range(2):
            client.send(ASK)
            seen = addresses_of(client.read_response())
            assert seen == CLIENT if header else seen["REMOTE_ADDR"] == "127.0.0.1"


@differs("tls-proxy-order")
def test_header_byte_by_byte_before_tls(tls_server):
    with tls_server.connect() as client:
        client.send(*(bytes([byte]) for byte in BLOCK))
        begin_tls(client).send(ASK)
        assert addresses_of(client.read_response()) == CLIENT


@differs("tls-proxy-order")
def test_header_within_tls(tls_server):
    with tls_server.connect() as client:
        begin_tls(client).send(TCP4 + ASK)
        assert client.read_response().status == 400


def client_hello():
    """The first message of a handshake."""
    outgoing = ssl.MemoryBIO()
    tls = client_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@differs("tls-proxy-order")
@pytest.mark.parametrize(
    ("first", "welcome"),
    [
        (TCP4, True),
        (b"", True),
        (b"P", False),
        (b"PROXY TCP4 ", False),
        (b"PROXY nothing\r\n", False),
        (TCP4 + TCP4, False),
    ],
)
def test_only_a_header_may_come_before_tls(tls_server, first, welcome):
    with tls_server.connect() as client:
        try:
            client.send(*(bytes([byte]) for byte in first), client_hello())
            answer = client.sock.recv(1)
        except ConnectionError:  # closed before everything was sent
            answer = b""
    assert (answer == b"\x16") is welcome  # the server's part of the handshake
