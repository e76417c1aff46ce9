"""TLS with real clients: what is negotiated, what travels, certificates that change, bad clients.

Certificates at start, on reload and when they change on disk are in test_tls_certificates.py.
"""

import contextlib
import hashlib
import os
import re
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from harness import differs, open_sockets, require_program, wait_for
from http_client import Client, chunked, request, request_bytes
from tls_helpers import client_context, make_files

WORKERS = {"sync": (), "gthread": ("--threads", "2"), "gevent": ("-k", "gevent")}
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module", params=WORKERS)
def server(start_module_server, kernel, files, request):
    """addresses: TCP, TCP over IPv6, a unix socket."""
    binds = ["127.0.0.1:0", "[::1]:0", "unix:tls.sock"]
    args = (*files.args(), *WORKERS[request.param])
    return start_module_server("tls_app:app", *args, bind=binds, kernel=kernel)


@pytest.fixture(scope="module")
def threads(start_module_server, files):
    """The gthread worker, which keeps connections alive."""
    return start_module_server("tls_app:app", *files.args(), "--threads", "2")


def tell(address, **options):
    return request(address, tls=client_context(**options)).json()


# -- what is negotiated --


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("listener", range(3), ids=["IPv4", "IPv6", "unix"])
def test_a_request(server, listener, version):
    told = tell(server.addresses[listener], maximum_version=VERSIONS[version])
    assert (told["scheme"], told["version"]) == ("https", f"TLSv{version}")
    assert told["keys"] == []


def test_listeners_are_printed_as_https(server):
    assert re.search(r"Listening at: https://127.0.0.1:\d+,https?://\[::1\]", server.log_text())


@differs("tls-alpn")
@pytest.mark.parametrize(
    ("offered", "taken"),
    [(["h2", "http/1.1"], "http/1.1"), (["http/1.1"], "http/1.1"), (["h2"], None), ([], None)],
)
def test_alpn(server, offered, taken):
    context = client_context()
    if offered:
        context.set_alpn_protocols(offered)
    assert request(server.address, tls=context).json()["alpn"] == taken


def test_old_versions_are_refused(server):
    context = client_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match=r"TLSv1_1 is deprecated"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError, match=r".+"):
        Client(server.address, tls=context)


@pytest.mark.parametrize("version", VERSIONS)
def test_sessions_are_resumed_by_ticket(server, version):
    context = client_context(maximum_version=VERSIONS[version])
    with Client(server.address, tls=context) as first:
        assert first.send(request_bytes()).read_response().json()["resumed"] is False
        session = first.sock.session
        assert session.has_ticket
    with Client(server.address, tls=context, session=session) as second:
        assert second.send(request_bytes()).read_response().json()["resumed"] is True


@differs("tls-context")
def test_all_connections_share_a_context(server):
    first = tell(server.address)["context"]
    assert {tell(server.address)["context"] for _ in range(3)} == {first}


def test_openssl_agrees(server, files):
    openssl = require_program("openssl")
    host, port = server.address
    run = subprocess.run(
        [openssl, "s_client", "-connect", f"{host}:{port}", "-servername", "localhost"]
        + ["-CAfile", str(files.ca), "-verify_return_error", "-quiet"],
        input=request_bytes(headers=[("Connection", "close")]),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert b"HTTP/1.1 200 OK" in run.stdout
    assert b"error" not in run.stderr


def test_curl_agrees(server, files):
    curl = require_program("curl")
    url = f"https://localhost:{server.address[1]}/file"
    run = subprocess.run(
        [curl, "-sS", "--ipv4", "--noproxy", "*", "--cacert", str(files.ca), url],
        capture_output=True,
        timeout=30,
        check=True,
    )
    assert run.stdout == Path(sys.executable).read_bytes()


# -- client certificates --


@pytest.mark.parametrize("worker", WORKERS)
def test_client_certificates(start_server, files, worker):
    """1: a client may show one, 2: it must; one of an unknown authority never counts."""
    stranger = client_context()
    other = files.cert.parent / "stranger"
    subprocess.run(
        [require_program("openssl"), "req", "-x509", "-nodes", "-subj", "/CN=stranger", "-newkey"]
        + ["ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", f"{other}.key"]
        + ["-out", f"{other}.pem"],
        capture_output=True,
        check=True,
    )
    stranger.load_cert_chain(f"{other}.pem", f"{other}.key")
    for mode in (1, 2):
        more = ["--ca-certs", str(files.ca), "--cert-reqs", str(mode), *WORKERS[worker]]
        server = start_server("tls_app:app", *files.args(), *more)
        with_certificate = client_context("someone@example.org")
        assert request(server.address, tls=with_certificate).json()["peer"] == [
            "someone@example.org"
        ]
        if mode == 1:
            assert tell(server.address)["peer"] == []
        for refused in [stranger] if mode == 1 else [stranger, client_context()]:
            mark = server.log_mark()
            with pytest.raises(OSError, match=r".+"):
                request(server.address, tls=refused)
            server.wait_log(r"\[WARNING\] Invalid request from ip=127.0.0.1: \[SSL", since=mark)
        assert "Traceback" not in server.log_text()


# -- what travels --


@pytest.mark.parametrize("version", VERSIONS)
def test_a_big_response(server, version):
    context = client_context(maximum_version=VERSIONS[version])
    answer = request(server.address, "/big?20", tls=context)
    assert (
        hashlib.sha256(answer.body).digest()
        == hashlib.sha256(bytes(range(256)) * (20 * MEGABYTE // 256)).digest()
    )


def test_a_file(server):
    answer = request(server.address, "/file", tls=client_context())
    assert answer.body == Path(sys.executable).read_bytes()


@differs("slow-clients")
def test_a_file_goes_to_a_slow_client_beside_other_requests(server):
    with Client(server.address, tls=client_context(), receive_buffer=4096) as slow:
        slow.send(request_bytes("/file"))
        assert slow.sock.recv(10) == b"HTTP/1.1 2"
        for _ in range(5):
            assert tell(server.address)["scheme"] == "https"
        slow.buffer = b"HTTP/1.1 2"
        assert slow.read_response().body == Path(sys.executable).read_bytes()


@pytest.mark.parametrize("coding", ["length", "chunks"])
@pytest.mark.parametrize("size", [10, 65536, 5 * MEGABYTE])
def test_a_request_body(server, size, coding):
    body = os.urandom(size)
    if coding == "length":
        message = request_bytes("/digest", "POST", body=body)
    else:
        head = request_bytes("/digest", "POST", [("Transfer-Encoding", "chunked")])
        message = head + chunked([body[:1000], body[1000:]] if size > 1000 else [body])
    with Client(server.address, tls=client_context()) as client:
        client.send(message)
        assert client.read_response().json() == [size, hashlib.sha256(body).hexdigest()]


def test_a_request_in_many_small_records(server):
    message = request_bytes("/digest", "POST", body=b"hello")
    with Client(server.address, tls=client_context()) as client:
        client.send(*(message[at : at + 1] for at in range(len(message))))
        assert client.read_response().json()[0] == 5


def test_keep_alive_and_pipelining(threads):
    with Client(threads.address, tls=client_context()) as client:
        for _ in range(3):
            client.send(request_bytes())
            assert client.read_response().status == 200
        client.send(request_bytes() * 40)
        for _ in range(40):
            assert client.read_response().status == 200
        assert tell(threads.address)["scheme"] == "https"


def test_the_server_says_goodbye(server):
    """Without close_notify a client could not tell the end from a cut."""
    with Client(server.address, tls=client_context()) as client:
        client.sock.suppress_ragged_eofs = False
        client.send(request_bytes(headers=[("Connection", "close")]))
        assert client.read_response().status == 200
        assert client.read_to_eof() == b""


def test_a_refused_upgrade_waits_for_nobody(server):
    """Its socket would block, for the application; but the application never sees the request."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"
    with Client(server.address, tls=client_context()) as client:
        client.send(head)
        assert client.read_response().status == 400
        assert tell(server.address)["scheme"] == "https"  # while this one says nothing more


@pytest.mark.parametrize("cut", [True, False], ids=["cut", "close_notify"])
def test_a_body_that_ends_early(server, cut):
    mark = server.log_mark()
    head = b"POST /digest HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello"
    with Client(server.address, tls=client_context()) as client:
        client.send(head)
        if cut:
            socket.socket.shutdown(client.sock, socket.SHUT_WR)
        else:
            client.sock.settimeout(0)
            with contextlib.suppress(ssl.SSLError):  # it does not wait for the answer
                client.sock.unwrap()
        server.wait_log("Invalid request from ip=127.0.0.1: No more data", since=mark)


# -- bad clients --


@differs("tls-plain-http")
def test_plain_http_to_the_port_is_told_so(server):
    mark = server.log_mark()
    answer = request(server.address)
    assert answer.status == 400
    assert b"The plain HTTP request was sent to HTTPS port" in answer.body
    (line,) = server.wait_log(r"\[WARNING\] (.*)", since=mark)
    assert line == (
        "Invalid request from ip=127.0.0.1: The plain HTTP request was sent to HTTPS port"
    )


@pytest.mark.parametrize("said", [b"\0" * 300, b"SSH-2.0-x\r\n", b"\x16\x03\x01\x00\x04\1\0\0\0"])
def test_garbage_is_one_line(server, said):
    mark = server.log_mark()
    with Client(server.address) as client:
        client.send(said)
        with contextlib.suppress(ConnectionResetError):
            client.read_to_eof()
    server.wait_log(r"\[WARNING\] Invalid request from ip=127.0.0.1: \[SSL", since=mark)
    assert tell(server.address)["scheme"] == "https"
    assert server.log_text(mark).count("\n") == 1


def client_hello():
    """What a client says first."""
    hello = ssl.MemoryBIO()
    client = client_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return hello.read()


@differs("tls-handshake")
@pytest.mark.parametrize("said", ["nothing", "half", "hello"])
def test_200_unfinished_handshakes_delay_nobody(server, said):
    hello = {"nothing": b"", "half": client_hello()[:50], "hello": client_hello()}[said]
    (worker,) = server.worker_pids()
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(Client(server.address)).send(hello)
        for _ in range(10):
            assert tell(server.address)["scheme"] == "https"
        # They are all there still; the silent ones when the kernel gives up on tcp_defer_accept.
        wait_for(lambda: open_sockets(worker) >= 200, "all of them")
    wait_for(lambda: open_sockets(worker) < 100, "the end of their connections")
    assert "Traceback" not in server.log_text()


@differs("own-settings")
@pytest.mark.parametrize("said", ["nothing", "half", "hello"])
@pytest.mark.parametrize("worker", WORKERS)
def test_ssl_handshake_timeout(start_server, files, said, worker):
    more = ["--ssl-handshake-timeout", "0.2", "--client-header-timeout", "0", *WORKERS[worker]]
    server = start_server("tls_app:app", *files.args(), *more)
    hello = {"nothing": b"", "half": client_hello()[:50], "hello": client_hello()}[said]
    with Client(server.address) as client:
        client.send(hello)
        client.read_to_eof()


@differs("own-settings")
def test_client_header_timeout_begins_with_the_handshakes_end(start_server, files):
    server = start_server("tls_app:app", *files.args(), "--client-header-timeout", "2")
    with Client(server.address, tls=client_context()) as client:
        assert client.send(b"GET / HT").read_response().status == 408


def test_a_client_that_leaves_in_the_middle_of_an_answer(server):
    with Client(server.address, tls=client_context()) as client:
        client.send(request_bytes("/big?20"))
        client.sock.recv(10)
        client.reset()
    assert tell(server.address)["scheme"] == "https"
    assert "Traceback" not in server.log_text()


# -- what is loaded --


@differs("ssl-unloaded")
@pytest.mark.parametrize("worker", WORKERS)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_ssl_is_loaded_only_by_workers_that_serve_tls(start_server, files, worker, tls):
    config = "def on_exit(server):\n import sys\n server.log.info('M %s', 'ssl' in sys.modules)"
    args = [*(files.args() if tls else []), *WORKERS[worker]]
    server = start_server("tls_app:loaded", *args, config=config)
    context = client_context() if tls else None
    # gevent loads it to patch it, in the worker.
    assert request(server.address, tls=context).json() is (tls or worker == "gevent")
    server.stop()
    assert server.wait_log(r"\] M (\w+)") == ["False"]
