"""Connections that carry several requests: when they go on, when they end, and who ends them."""

import select
import signal
import socket
import time

import pytest
from harness import wait_for
from http_client import BrokenResponse, chunked, request_bytes
from worker_kinds import unharmed

OK = request_bytes("/ok")


def ask(client, raw=OK):
    return client.send(raw).read_response()


def has_ended(client):
    """True once the server has closed this connection."""
    readable, _, _ = select.select([client.sock], [], [], 0)
    return bool(readable) and client.sock.recv(1, socket.MSG_PEEK) == b""


OPTIONS = [  # version, values of the Connection fields, whether the connection goes on
    ("1.1", [], True),
    ("1.1", ["keep-alive"], True),
    ("1.1", ["foo"], True),
    ("1.1", ["closed"], True),
    ("1.1", ["close"], False),
    ("1.1", ["CLOSE"], False),
    ("1.1", ["foo, close"], False),
    ("1.1", ["close , foo"], False),
    ("1.1", [",close,"], False),
    ("1.1", ["foo,\tclose"], False),
    ("1.1", ["foo", "close"], False),
    ("1.1", ["keep-alive, close"], False),
    ("1.0", [], False),
    ("1.0", ["foo"], False),
    ("1.0", ["keep-alive"], True),
    ("1.0", ["Keep-Alive"], True),
    ("1.0", ["foo, keep-alive"], True),
    ("1.0", ["foo", "keep-alive"], True),
    ("1.0", ["keep-alive, close"], False),
]


@pytest.mark.parametrize(("version", "values", "kept"), OPTIONS)
def test_connection_options(keeping_server, version, values, kept):
    fields = [("Connection", value) for value in values]
    with keeping_server.connect() as client:
        raw = request_bytes("/ok", headers=fields, version=f"HTTP/{version}")
        assert ask(client, raw).header("Connection") == ("keep-alive" if kept else "close")
        if kept:
            assert ask(client).body == b"ok"
        else:
            assert client.read_to_eof() == b""


def test_an_answer_without_an_end_ends_the_connection(keeping_server):
    raw = request_bytes("/status?line=200+OK", headers=[("Connection", "keep-alive")])
    with keeping_server.connect() as client:
        response = ask(client, raw.replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert response.header("Connection") == "close"
        assert response.body == b"twelve bytes"


def test_an_answer_shorter_than_announced_ends_the_connection(keeping_server):
    with keeping_server.connect() as client:
        client.send(request_bytes("/status?line=200+OK&length=20"))
        assert client.read_to_eof().endswith(b"twelve bytes")


def test_100_requests_on_a_connection(keeping_server):
    upload = request_bytes("/echo", "POST", [("Transfer-Encoding", "chunked")]) + chunked([b"abc"])
    with unharmed(keeping_server), keeping_server.connect() as client:
        for _ in range(50):
            assert ask(client).body == b"ok"
            assert ask(client, upload).body == b"abc"


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [10, 60_000, 1_000_000])
def test_a_body_that_nobody_read(keeping_server, framing, size):
    """It is dropped, or the connection ends after the answer; it is never taken for a request."""
    body = (OK * (size // len(OK) + 1))[:size]
    if framing == "length":
        raw = request_bytes("/unread", "POST", body=body)
    else:
        raw = request_bytes("/unread", "POST", [("Transfer-Encoding", "chunked")])
        raw += chunked([body])
    with keeping_server.connect() as client:
        assert ask(client, raw).body == b"not read"
        if size <= 60_000:  # it was gathered
            assert ask(client).body == b"ok"
        else:
            assert client.read_to_eof() == b""


def test_an_idle_connection_is_closed(start_keeping):
    server = start_keeping("--keep-alive=1")
    mark = server.log_mark()
    with unharmed(server), server.connect() as client, server.connect() as silent:
        assert ask(client).status == 200
        assert client.read_to_eof() == b""
        assert not has_ended(silent)  # its time is client_header_timeout
        assert ask(silent).status == 200
    assert server.log_text(mark) == ""


def test_keepalive_0_closes_after_each_answer(start_keeping):
    with start_keeping("--keep-alive=0").connect() as client:
        assert ask(client).header("Connection") == "close"
        assert client.read_to_eof() == b""


def test_a_request_that_comes_as_the_idle_time_ends(start_keeping):
    """It is answered whole, or not at all."""
    server = start_keeping("--keep-alive=1")
    answered = set()
    end = time.monotonic() + 30
    with unharmed(server):
        while answered != {True, False} and time.monotonic() < end:
            answered |= set(requests_as_the_idle_time_ends(server))
    assert answered == {True, False}


def requests_as_the_idle_time_ends(server):
    """Each one's whether it was answered."""
    clients = [server.connect() for _ in range(80)]
    asked = []
    for client in clients:
        assert ask(client).status == 200
        asked.append(time.monotonic())
    for number, client in enumerate(clients):  # over the moments at which a server may close
        with client:
            due = asked[number] + 0.6 + number * 0.022
            while time.monotonic() < due and not has_ended(client):
                select.select([client.sock], [], [], max(0, due - time.monotonic()))
            try:
                client.send(request_bytes("/ok", headers=[("Connection", "close")]))
                received = client.read_to_eof()
            except ConnectionError:
                received = b""
            assert received == b"" or received.endswith(b"\r\n\r\nok")
            yield bool(received)


def test_an_unfinished_second_request_has_the_time_of_a_first(start_keeping):
    server = start_keeping("--keep-alive=1", "--client-header-timeout=2")
    with server.connect() as client:
        ask(client, OK + OK[:20])
        assert client.read_response().status == 408
        assert client.read_to_eof() == b""


def test_the_oldest_idle_connections_make_room(start_keeping):
    server = start_keeping("--worker-connections=10")
    idle = [server.connect() for _ in range(10)]
    try:
        for client in idle:
            assert ask(client).status == 200
        for _ in range(3):
            assert server.request("/ok").body == b"ok"
        # The first to rest makes room: not always idle[0], as three other threads that have
        # answered may still hold theirs.
        wait_for(lambda: any(map(has_ended, idle[:4])), "the end of the oldest")
        assert not any(map(has_ended, idle[6:]))
        assert ask(idle[9]).body == b"ok"
    finally:
        for client in idle:
            client.sock.close()


def test_a_stopping_worker_lets_idle_connections_go(start_keeping):
    server = start_keeping()
    with server.connect() as idle, server.connect() as asking:
        ask(idle)
        ask(asking)
        server.signal(signal.SIGTERM)
        options = ["keep-alive"]  # of the answers; the signal takes its time to the worker
        while options[-1] == "keep-alive":
            try:
                options.append(ask(asking).header("Connection"))
            except (BrokenResponse, ConnectionError):  # closed while nothing was asked
                break
        assert asking.buffer == b""
        assert idle.read_to_eof() == b""
    assert server.wait_exit() == 0
