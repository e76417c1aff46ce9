"""Requests that are refused: each gets its status, the end of the connection, one line in each log.

Which requests are malformed is a matter of the parser's tests and test_http_errors.py; here is one
of each status, for every kind of worker.
"""

import re
import signal

import pytest
from harness import differs, wait_for
from http_client import chunked, request_bytes
from worker_kinds import WORKERS

CHUNKED = [("Transfer-Encoding", "chunked")]
BODY_LIMIT = 200_000

REFUSED = {  # what is sent: status, and the request line as the access log shows it
    "a malformed head": (b"GET /ok HTTP/1.1\r\nBad Name: x\r\n\r\n", 400, "GET /ok HTTP/1.1"),
    "a malformed line": (b"GET\r\n\r\n", 400, "-"),
    "a TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", 400, "-"),
    "a malformed chunk": (
        request_bytes("/echo", "POST", CHUNKED) + b"z\r\n",
        400,
        "POST /echo HTTP/1.1",
    ),
    "a large body announced": (
        request_bytes("/echo", "POST", [("Content-Length", str(BODY_LIMIT + 1))]),
        413,
        "POST /echo HTTP/1.1",
    ),
    "a large body announced and sent": (
        request_bytes("/echo", "POST", body=b"x" * (BODY_LIMIT + 1)),
        413,
        "POST /echo HTTP/1.1",
    ),
    "a large body in chunks": (
        request_bytes("/echo", "POST", CHUNKED) + chunked([b"x" * 50_000] * 5),
        413,
        "POST /echo HTTP/1.1",
    ),
    "a long line": (request_bytes("/" + "x" * 5000), 414, f"GET /{'x' * 511}... HTTP/1.1"),
    "an expectation": (request_bytes("/ok", headers=[("Expect", "tea")]), 417, "GET /ok HTTP/1.1"),
    "a long field": (request_bytes("/ok", headers=[("A", "x" * 9000)]), 431, "GET /ok HTTP/1.1"),
    "many fields": (request_bytes("/ok", headers=[("A", "x")] * 101), 431, "GET /ok HTTP/1.1"),
    "a coding": (
        request_bytes("/ok", "POST", [("Transfer-Encoding", "foo, chunked")]),
        501,
        "POST /ok HTTP/1.1",
    ),
}

LATE = {  # likewise, and then nothing more
    "half a line": (b"GET /o", 408, "GET /o... -"),
    "half a head": (b"GET /ok HTTP/1.1\r\nHost:", 408, "GET /ok HTTP/1.1"),
    "half a body": (request_bytes("/echo", "POST", body=b"12345")[:-1], 408, "POST /echo HTTP/1.1"),
    "half a chunk": (
        request_bytes("/echo", "POST", CHUNKED) + b"5\r\nhell",
        408,
        "POST /echo HTTP/1.1",
    ),
}


def access_lines(server):
    """The access log without the successes."""
    lines = (server.directory / "access").read_text().splitlines()
    return [line for line in lines if " 200 " not in line]


ACCESS_LOG = ("--access-logfile=access", "--access-logformat=%(h)s|%(r)s|%(m)s|%(U)s| %(s)s %(b)s")


@pytest.fixture(scope="module")
def limited(start_module_server, kernel, worker_kind):
    return start_module_server(
        "requests_app:app",
        *WORKERS[worker_kind],
        *ACCESS_LOG,
        config=f"client_max_body_size = {BODY_LIMIT}",
        kernel=kernel,
    )


def logged(status, line):
    method, _, rest = line.partition(" ")
    path = rest.partition(" ")[0] or "-"
    return f"127.0.0.1|{line}|{method}|{path}| {status} 0"


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(limited, name):
    raw, status, line = REFUSED[name]
    mark, before = limited.log_mark(), len(access_lines(limited))
    with limited.connect() as client:
        response = client.send(raw).read_response()
        assert client.read_to_eof() == b""
    assert (response.status, response.header("Connection")) == (status, "close")
    assert access_lines(limited)[before:] == [logged(status, line)]
    assert limited.request("/ok").body == b"ok"
    [warning] = limited.log_text(mark).splitlines()
    assert re.search(r"\[WARNING\] Invalid request from ip=127\.0\.0\.1: .", warning)


def test_who_is_too_slow(start_kind):
    config = "client_header_timeout = client_body_timeout = 1"
    server = start_kind(*ACCESS_LOG, config=config)
    mark = server.log_mark()
    clients = [server.connect().send(raw) for raw, _, _ in LATE.values()]
    with server.connect() as silent:
        assert server.request("/ok").body == b"ok"
        for client in clients:
            with client:
                response = client.read_response()
                assert (response.status, response.header("Connection")) == (408, "close")
                assert client.read_to_eof() == b""
        assert silent.read_to_eof() == b""
    expected = [logged(408, line) for _, _, line in LATE.values()]
    assert sorted(access_lines(server)) == sorted(expected)
    warnings = server.log_text(mark).splitlines()  # silence is no request
    assert len(warnings) == len(LATE)
    assert all(line.endswith("ip=127.0.0.1: Request Timeout") for line in warnings)


@differs("stop-503")
@pytest.mark.parametrize("seconds", [1, 0])
def test_what_a_stopping_worker_cannot_wait_for(start_kind, seconds):
    config = f"graceful_timeout = {seconds}\ntcp_defer_accept = 0"  # a silent one is there at once
    server = start_kind(*ACCESS_LOG, config=config)
    [worker] = server.worker_pids()
    clients = [server.connect().send(raw) for raw, _, _ in LATE.values()]
    with server.connect() as silent:
        assert server.request("/ok").body == b"ok"
        mark = server.log_mark()
        # The worker alone: its master would kill it half a second after it has said farewell.
        server.signal(signal.SIGTERM, worker)
        for client in clients:
            with client:
                response = client.read_response()
                assert (response.status, response.header("Connection")) == (503, "close")
                assert client.read_to_eof() == b""
        assert silent.read_to_eof() == b""
    server.wait_workers(1, but_not=[worker])
    expected = [logged(503, line) for _, _, line in LATE.values()]
    assert sorted(access_lines(server)) == sorted(expected)
    warnings = [line for line in server.log_text(mark).splitlines() if "WARNING" in line]
    assert len(warnings) == len(LATE)
    assert all("ip=127.0.0.1 not served: the worker is stopping" in line for line in warnings)


def test_what_waits_for_a_thread_when_the_worker_stops(start_server, kernel, tmp_path):
    server = start_server(
        "requests_app:app",
        "-k",
        "gthread",
        "--threads=1",
        config="graceful_timeout = 1",
        kernel=kernel,
    )
    release = tmp_path / "release"
    with server.connect() as busy:
        busy.send(request_bytes(f"/busy?release={release}"))
        wait_for((tmp_path / "release.begun").exists, "the busy request to begin")
        waiting = [server.connect().send(request_bytes("/ok")) for _ in range(3)]
        server.signal(signal.SIGTERM, *server.worker_pids())  # as above
        for client in waiting:
            with client:
                assert client.read_response().status == 503
        assert server.stop() == 0


@pytest.mark.parametrize("size", [BODY_LIMIT, 100])
def test_bodies_within_the_limit(limited, size):
    body = b"x" * size
    assert limited.request("/echo", "POST", body=body).body == body
    with limited.connect() as client:
        client.send(request_bytes("/echo", "POST", CHUNKED), chunked([body[:60], body[60:]]))
        assert client.read_response().body == body
