"""Requests sent before the answer to the one before has come: all answered, in order, fairly.

Also what ends such a row: an error, or a request that asks for the end. Nothing behind it may run,
since nobody could tell its answer from the one before (RFC 9112 section 9.3.2).
"""

import json
import select
import threading

import pytest
from http_client import Client, chunked, request_bytes
from worker_kinds import peak_memory, unharmed

RECORD = request_bytes("/record-read")


def numbered(number):
    return request_bytes(f"/environ?{number}")


def query_of(response):
    assert response.status == 200
    return json.loads(response.body)["QUERY_STRING"]


def assert_alive(client):
    assert client.send(request_bytes("/ok")).read_response().body == b"ok"


def test_50_in_one_segment(keeping_server):
    with keeping_server.connect() as client:
        client.send(b"".join(numbered(n) for n in range(50)))
        assert [query_of(client.read_response()) for _ in range(50)] == [str(n) for n in range(50)]
        assert_alive(client)


MIXED = [  # method, what is sent, status, body
    ("GET", request_bytes("/ok"), 200, b"ok"),
    ("POST", request_bytes("/echo", "POST", body=b"length"), 200, b"length"),
    ("HEAD", request_bytes("/ok", "HEAD"), 200, b""),
    (
        "POST",
        request_bytes("/echo", "POST", [("Transfer-Encoding", "chunked")])
        + chunked([b"chu", b"nks"], trailers=b"A: b\r\n"),
        200,
        b"chunks",
    ),
    ("GET", request_bytes("/status?line=304+Not+Modified&length=12"), 304, b""),
    ("GET", request_bytes("/status?line=200+OK"), 200, b"twelve bytes"),  # chunked
    ("HEAD", request_bytes("/status?line=200+OK", "HEAD"), 200, b""),
    ("GET", request_bytes("/status?line=204+No+Content"), 204, b""),
    ("POST", request_bytes("/unread", "POST", body=b"not wanted"), 401, b"not read"),
    ("GET", request_bytes("/missing"), 404, b""),
    ("GET", b"\r\n" + request_bytes("/ok"), 200, b"ok"),
    ("GET", request_bytes("/sized?n=100000"), 200, b"s" * 100_000),
]


def test_all_kinds_of_bodies_mixed(keeping_server):
    row = MIXED * 5
    with keeping_server.connect() as client:
        client.send(b"".join(raw for _, raw, _, _ in row))
        for method, raw, status, body in row:
            response = client.read_response(method)
            assert (response.status, response.body) == (status, body), raw
        assert_alive(client)


def test_a_row_cut_anywhere(keeping_server):
    raw = b"".join(raw for _, raw, _, _ in MIXED[:4])
    for place in range(1, len(raw), 3):
        with keeping_server.connect() as client:
            client.send(raw[:place], raw[place:])
            for method, _, status, body in MIXED[:4]:
                response = client.read_response(method)
                assert (response.status, response.body) == (status, body), f"cut at {place}"


def test_a_half_closed_row_is_answered_to_its_end(keeping_server):
    with unharmed(keeping_server), keeping_server.connect() as client:
        client.send(request_bytes("/ok") * 40).finish_sending()
        for _ in range(40):
            assert client.read_response().body == b"ok"
        assert client.read_to_eof() == b""


ENDS = {  # what is sent: the statuses of its answers
    "a malformed head": (b"GET /ok HTTP/1.1\r\nBad Name: x\r\n\r\n", 400),
    "a malformed line": (b"GET\r\n\r\n", 400),
    "a long line": (request_bytes("/" + "x" * 5000), 414),
    "a malformed chunk": (
        request_bytes("/echo", "POST", [("Transfer-Encoding", "chunked")]) + b"z\r\n",
        400,
    ),
    "both framings": (
        request_bytes("/echo", "POST", [("Transfer-Encoding", "chunked")], b"0\r\n\r\n"),
        400,
    ),
    "an application that fails": (request_bytes("/raise-before"), 500),
    "Connection: close": (request_bytes("/ok", headers=[("Connection", "close")]), 200),
    "HTTP/1.0": (request_bytes("/ok", version="HTTP/1.0"), 200),
}


@pytest.mark.parametrize("name", ENDS)
def test_what_ends_the_row(keeping_server, name):
    raw, status = ENDS[name]
    keeping_server.request("/events")
    with keeping_server.connect() as client:
        client.send(numbered(1) + numbered(2) + raw + RECORD * 3)
        assert [query_of(client.read_response()) for _ in range(2)] == ["1", "2"]
        last = client.read_response()
        assert (last.status, last.header("Connection")) == (status, "close")
        assert client.read_to_eof() == b""
    assert keeping_server.request("/events").body == b"[]"


def test_an_answer_cut_short_ends_the_row(keeping_server):
    keeping_server.request("/events")
    with keeping_server.connect() as client:
        client.send(numbered(1) + request_bytes("/raise-after") + RECORD)
        assert query_of(client.read_response()) == "1"
        rest = client.read_to_eof()
    assert b"first" in rest
    assert not rest.endswith(b"0\r\n\r\n")
    assert keeping_server.request("/events").body == b"[]"


def test_large_answers_to_a_client_that_reads_slowly(keeping_server):
    count, size = 60, 1_000_000
    with unharmed(keeping_server), Client(keeping_server.address, receive_buffer=8192) as client:
        [worker] = keeping_server.worker_pids()
        before = peak_memory(worker)
        client.send(request_bytes(f"/sized?n={size}") * count)
        client.buffer = client.sock.recv(1000)  # it has begun; the rest must wait outside
        for _ in range(5):
            assert keeping_server.request("/ok").body == b"ok"
        for _ in range(count):
            assert client.read_response().body == b"s" * size
        assert_alive(client)
        assert peak_memory(worker) - before < 10 * size


@pytest.mark.parametrize("raw", [request_bytes("/count"), MIXED[1][1]], ids=["GET", "POST"])
def test_a_greedy_client_starves_nobody(keeping_server, raw):
    """30,000 requests in one go; the others' come in between, on old and new connections."""
    total = 30_000
    with keeping_server.connect() as greedy, keeping_server.connect() as other:
        assert_alive(other)
        answered = []

        def read():
            for _ in range(total):
                answered.append(greedy.read_response().status)

        first = int(keeping_server.request("/count").body)
        threads = [
            threading.Thread(target=greedy.send, args=(raw * total,)),
            threading.Thread(target=read),
        ]
        for thread in threads:
            thread.start()
        served = 0
        while threads[1].is_alive() and served < 3:
            assert other.send(request_bytes("/ok")).read_response().body == b"ok"
            assert keeping_server.request("/ok").body == b"ok"
            served += 1
        done = len(answered)
        for thread in threads:
            thread.join()
        assert answered == [200] * total
        assert served == 3, "the greedy client was served first"
        assert done < total
        if raw == request_bytes("/count"):
            assert int(keeping_server.request("/count").body) == first + total + 1


def test_a_row_of_slow_requests_is_interrupted_for_others(start_keeping):
    """One thread, and 200 requests of 50 ms in its buffer: nobody waits for all of them."""
    server = start_keeping("--threads=1")
    total = 200
    with server.connect() as greedy:
        greedy.send(request_bytes("/nap") * total)
        greedy.read_response()  # it has begun
        assert server.request("/ok").body == b"ok"
        answered = 1
        while select.select([greedy.sock], [], [], 0)[0]:
            answered += greedy.sock.recv(1 << 20).count(b"HTTP/1.1 200 OK")
        assert answered < total // 2
