"""The gevent worker: what applications see of it. Its life: test_gevent_life.py.

What clients see is the same for every kind of worker, and so are its tests (worker_kinds.py).
"""

import json
import socket
from contextlib import ExitStack

import pytest
from harness import differs, wait_for
from http_client import Client, request_bytes

GEVENT = ("-k", "gevent")


@pytest.fixture(scope="module")
def server(start_module_server, kernel):
    return start_module_server(
        "gevent_app:app", *GEVENT, bind=["127.0.0.1:0", "unix:http.sock"], kernel=kernel
    )


def test_keep_alive_on_tcp_and_unix(server):
    for address in server.addresses:
        with Client(address) as client:
            for _ in range(3):
                response = client.send(request_bytes("/")).read_response()
                assert (response.body, response.header("Connection")) == (b"ok", "keep-alive")


@differs("gevent-first-head")
def test_a_request_may_take_longer_than_keepalive(start_server):
    server = start_server("gevent_app:app", *GEVENT, "--keep-alive", "1")
    with server.connect().send(request_bytes("/wait")) as waiting, server.connect() as idle:
        idle.send(request_bytes("/")).read_response()
        assert idle.read_to_eof() == b""  # its keepalive is over, and was that of `waiting` too
        (server.directory / "go").touch()
        assert waiting.read_response().body == b"waited"


@pytest.mark.parametrize("size", [10_000, 5 << 20])
def test_bodies(server, size):
    body = bytes(range(256)) * (size // 256)
    assert server.request("/echo", "POST", body=body).body == body


def test_a_body_that_comes_slowly_holds_nobody(server):
    raw = request_bytes("/echo", "POST", body=b"x" * 300_000)
    with server.connect().send(raw[:200_000]) as client:
        assert server.request("/").body == b"ok"
        assert client.send(raw[200_000:]).read_response().body == b"x" * 300_000


def test_reading_and_answering_at_once_in_two_greenlets(server):
    raw = request_bytes("/echo-elsewhere", "POST", body=b"x" * 1_000_000)
    with server.connect() as client:
        client.send(raw[:300_000])
        client.sock.recv(1, socket.MSG_PEEK)  # it answers already
        response = client.send(raw[300_000:]).read_response()
        assert response.body.endswith(b"1000000")


def test_pieces_leave_when_they_are_made(server):
    assert server.request("/pieces").chunks == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("target", ["/meet", "/meet-time"])
def test_a_hundred_requests_sleep_at_once(start_server, target):
    server = start_server("gevent_app:app", *GEVENT)
    with ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(100)]
        for client in clients:
            client.send(request_bytes(f"{target}?100"))
        assert {client.read_response().body for client in clients} == {b"met"}


def test_what_the_environ_gives(server):
    told = json.loads(server.request("/about").body)
    assert told["socket"] is True
    assert told["timeout"] is None
    assert told["multithread"] is told["patched at import"] is told["patched"] is True


@pytest.mark.parametrize("how", ["stop", "handled"])
def test_an_application_may_take_the_socket_over(server, how):
    mark = server.log_mark()
    with server.connect().send(request_bytes(f"/take-over?{how}")) as client:
        assert client.read_response().status == 101
        for word in (b"one", b"two"):
            client.send(word)
            wait_for(lambda: client.sock.recv(100, socket.MSG_PEEK), "the echo")
            assert client.sock.recv(100) == word.upper()
        assert server.request("/").body == b"ok"
        client.send(b"bye")
        assert client.read_to_eof() == b"BYE"
    assert "Traceback" not in server.log_text(mark)


def test_a_worker_may_know_marks_of_its_own(start_server):
    worker = (
        "from cyserve.workers.ggevent import GeventWorker\n"
        "class Mine(GeventWorker):\n"
        "    def is_already_handled(self, respiter):\n"
        "        return respiter == 'mine' or super().is_already_handled(respiter)\n"
    )
    server = start_server("gevent_app:app", "-k", "mine.Mine", files={"mine.py": worker})
    for how in ("mark", "handled"):
        with server.connect().send(request_bytes(f"/take-over?{how}")) as client:
            assert client.read_response().status == 101
            assert client.send(b"bye").read_to_eof() == b"BYE"
    assert "Traceback" not in server.log_text()
    assert server.request("/").body == b"ok"
