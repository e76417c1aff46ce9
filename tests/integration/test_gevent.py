"""The gevent worker: what clients and applications see of it. Its life: test_gevent_life.py."""

import json
import resource
import socket
import time
from contextlib import ExitStack

import pytest
from harness import differs, open_sockets, require_program, wait_for
from http_client import Client, request, request_bytes

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


def test_pipelined_requests_are_answered_in_order(server):
    with server.connect() as client:
        raw = [request_bytes("/echo", "POST", body=b"%d" % number) for number in range(50)]
        client.send(b"".join(raw))
        assert [client.read_response().body for _ in raw] == [b"%d" % n for n in range(50)]


def test_keepalive_0_closes(start_server):
    server = start_server("gevent_app:app", *GEVENT, "--keep-alive", "0")
    with server.connect().send(request_bytes("/")) as client:
        assert client.read_response().header("Connection") == "close"
        assert client.read_to_eof() == b""


def test_an_idle_connection_is_closed_after_keepalive(start_server):
    server = start_server("gevent_app:app", *GEVENT, "--keep-alive", "1")
    with server.connect().send(request_bytes("/")) as client:
        assert client.read_response().status == 200
        assert client.read_to_eof() == b""


@differs("its keepalive holds for the first request too")
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


def test_a_client_that_does_not_read_holds_nobody(server):
    with Client(server.address, receive_buffer=4096) as client:
        client.send(request_bytes("/big"))
        client.buffer = client.sock.recv(1)
        assert server.request("/").body == b"ok"
        assert len(client.read_response().body) == 5 << 20


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


# -- many clients --


@pytest.fixture
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        yield
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        yield
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@differs("closes silent clients after keepalive and does without most of these")
def test_a_thousand_silent_and_half_heads_do_not_delay_a_request(start_server, many_descriptors):
    server = start_server("gevent_app:app", *GEVENT, "--worker-connections", "2000")
    with ExitStack() as stack:
        for number in range(1000):
            client = stack.enter_context(server.connect())
            if number % 2:
                client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Half:")
        server.request("/")  # the worker has taken all of them by now
        took = []
        for _ in range(10):
            started = time.perf_counter()
            assert server.request("/").body == b"ok"
            took.append(time.perf_counter() - started)
    assert min(took) < 0.05


def test_worker_connections_bounds_what_is_accepted(start_server):
    server = start_server("gevent_app:app", *GEVENT, "--worker-connections", "2")
    with ExitStack() as stack:
        [worker] = server.worker_pids()
        at_rest = open_sockets(worker)
        for _ in range(2):
            stack.enter_context(server.connect()).send(request_bytes("/wait"))
        wait_for(lambda: open_sockets(worker) == at_rest + 2, "both to be accepted")
        third = stack.enter_context(server.connect()).send(request_bytes("/"))
        third.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            third.sock.recv(1)
        assert open_sockets(worker) == at_rest + 2
        third.sock.settimeout(30)
        (server.directory / "go").touch()
        assert third.read_response().body == b"ok"


@differs("lets idle connections hold their place")
def test_idle_connections_make_room(start_server):
    server = start_server("gevent_app:app", *GEVENT, "--worker-connections", "2")
    with ExitStack() as stack:
        for _ in range(8):
            client = stack.enter_context(server.connect())
            assert client.send(request_bytes("/")).read_response().body == b"ok"


def test_without_descriptors_it_waits_and_goes_on(start_server, many_descriptors):
    prefix = [require_program("prlimit"), "--nofile=40"]
    server = start_server("gevent_app:app", *GEVENT, prefix=prefix)
    with ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(server.connect())
        server.wait_log("Cannot accept connections for now: .*Too many open files")
    assert request(server.address, "/").body == b"ok"
    assert server.log_text().count("Cannot accept") == 1
