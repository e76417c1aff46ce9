"""The loop with a real listener, real clients and a small application; with one thread (as sync
runs it), and with several that take turns (as gthread does)."""

import socket
import threading
import time

import pytest
from loop_helpers import GET, hello, read_all

from cyserve import _accel

one_thread = pytest.mark.parametrize("engine", ["Worker"], indirect=True)


def test_a_request_is_answered_and_the_connection_closed(serve):
    worker = serve(hello).start()
    assert read_all(worker.client(GET)).endswith(b"\r\n\r\nhello")


def test_silent_and_half_sent_clients_hold_nobody(serve):
    worker = serve(hello).start()
    for _ in range(20):
        worker.client()
        worker.client(GET[:-2])
    assert read_all(worker.client(GET)).endswith(b"hello")


def test_a_head_that_trickles_in(serve):
    worker = serve(hello).start()
    client = worker.client()
    for byte in GET:
        client.sendall(bytes([byte]))
    assert read_all(client).endswith(b"hello")


def test_a_head_that_never_ends_is_answered_408(serve):
    worker = serve(hello, client_header_timeout=0.1)
    begun = worker.client(GET[:-2])  # before it is accepted: without a byte it would just be closed
    worker.start()
    assert read_all(begun).startswith(b"HTTP/1.1 408 ")
    assert read_all(worker.client()) == b""
    assert [level for level, _ in worker.log.lines] == ["warning"]


def test_a_small_body_that_never_comes_is_answered_408(serve):
    worker = serve(hello, client_body_timeout=0.1).start()
    client = worker.client(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n12")
    assert read_all(client).startswith(b"HTTP/1.1 408 ")


def test_malformed_request(serve):
    worker = serve(hello).start()
    assert read_all(worker.client(b"NONSENSE\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
    assert len(worker.log.lines) == 1
    assert read_all(worker.client(GET)).endswith(b"hello")


def test_the_answer_reaches_a_client_that_is_still_uploading(serve):
    worker = serve(hello).start()
    upload = b"POST / HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 5000000
    client = worker.client()
    sender = threading.Thread(target=client.sendall, args=(upload,))
    sender.start()
    assert read_all(client).endswith(b"hello")
    sender.join(10)


def test_a_slow_reader_does_not_hold_the_worker(serve):
    content = b"0123456789" * 1_000_000

    def big(environ, start_response):
        if environ["PATH_INFO"] == "/":
            return hello(environ, start_response)
        start_response("200 OK", [("Content-Length", str(len(content)))])
        return [content]

    worker = serve(big).start()
    slow = worker.client(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n")
    assert slow.recv(12) == b"HTTP/1.1 200"
    assert read_all(worker.client(GET)).endswith(b"hello")
    assert read_all(slow).endswith(content)


def test_keep_alive_and_pipelining_in_order(serve):
    def echo(environ, start_response):
        body = environ["PATH_INFO"].encode() + environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    worker = serve(echo, keep_alive=True).start()
    client = worker.client(
        b"".join(b"POST /%d HTTP/1.1\r\nContent-Length: 1\r\n\r\n." % n for n in range(50)),
        b"GET /last HTTP/1.1\r\nConnection: close\r\n\r\n",
    )
    wire = read_all(client)
    bodies = [part.rpartition(b"\r\n\r\n")[2] for part in wire.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"/%d." % n for n in range(50)] + [b"/last"]


def test_a_pipeline_that_grows_while_it_is_served(serve):
    """More arrives while requests wait in the buffer: none is lost, none is served twice."""
    served = []

    def app(environ, start_response):
        served.append(environ["PATH_INFO"])
        return hello(environ, start_response)

    worker = serve(app, keep_alive=True).start()
    client = worker.client()
    for n in range(400):
        client.sendall(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % n)
    client.sendall(b"GET /end HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert read_all(client).count(b"HTTP/1.1 200 OK") == 401
    assert served == [f"/{n}" for n in range(400)] + ["/end"]


def test_an_unread_body_is_skipped_on_keep_alive(serve):
    worker = serve(hello, keep_alive=True).start()
    client = worker.client(b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nGET " + GET + GET)
    client.shutdown(socket.SHUT_WR)
    assert read_all(client).count(b"HTTP/1.1 200 OK") == 3


def test_idle_keep_alive_connections_end(serve):
    worker = serve(hello, keep_alive=True, keepalive=0.1).start()
    assert read_all(worker.client(GET)).endswith(b"hello")


def test_no_more_connections_than_allowed(serve):
    worker = serve(hello, worker_connections=2).start()
    first, _ = worker.client(GET[:3]), worker.client(GET[:3])
    waiting = worker.client(GET)
    waiting.settimeout(0.2)
    with pytest.raises(TimeoutError):
        waiting.recv(1)
    waiting.settimeout(10)
    first.close()
    assert read_all(waiting).endswith(b"hello")


def test_a_worker_that_stops_serves_what_has_begun(serve):
    stop = threading.Event()

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/stop":
            stop.wait(10)  # until the other clients are in the listen queue
            worker.alive = False
        return hello(environ, start_response)

    worker = serve(app, graceful_timeout=30, client_header_timeout=60)
    half = worker.client(GET[:-2])
    stopper = worker.client(b"GET /stop HTTP/1.1\r\nHost: h\r\n\r\n")
    worker.start()
    queued = [worker.client(GET) for _ in range(5)]
    worker.sockets[0].queued = 5
    stop.set()
    assert read_all(stopper).endswith(b"hello")
    for client in queued:
        assert read_all(client).endswith(b"hello")
    half.sendall(GET[-2:])
    assert read_all(half).endswith(b"hello")
    worker.thread.join(20)
    assert not worker.thread.is_alive()


def test_a_worker_at_its_last_request_takes_no_more_than_was_queued(serve):
    served = []

    def app(environ, start_response):
        served.append(environ["PATH_INFO"])
        worker.alive = len(served) < 2
        return hello(environ, start_response)

    worker = serve(app, threads=1)
    clients = [worker.client(GET) for _ in range(10)]
    worker.sockets[0].queued = 3  # as if the others had come later
    worker.start()
    worker.thread.join(20)
    assert len(served) == 2 + 3
    del clients


def test_a_client_that_resets_is_forgotten(serve):
    worker = serve(hello).start()
    for sent in (b"", GET[:5], GET):
        client = worker.client(sent)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    for _ in range(1000):  # each request is a turn of the loop, in which it sees the resets
        assert read_all(worker.client(GET)).endswith(b"hello")
        if not worker.loop.connections:
            return
    pytest.fail("connections that were reset are still watched")


@pytest.fixture
def jump(monkeypatch):
    """jump(seconds): so much time passes for the loop, at once."""
    clock = _accel.runtime.CLOCK
    monkeypatch.setattr(clock, "ahead", 0.0)

    def jump(seconds):
        clock.ahead += seconds

    return jump


def watched(worker, number):
    """Waits until the loop watches so many connections."""
    while worker.loop is None or len(worker.loop.connections) < number:
        time.sleep(0.001)


@one_thread
def test_every_request_may_take_the_whole_timeout(serve, jump):
    """Many slow requests in one turn of the loop: there is a sign of life before each of them."""
    beats = []
    seen = []

    def app(environ, start_response):
        seen.append(len(beats))
        jump(5)
        return hello(environ, start_response)

    worker = serve(app)
    worker.notify = lambda: beats.append(1)
    clients = [worker.client(GET) for _ in range(4)]
    worker.start()
    for client in clients:
        assert read_all(client).endswith(b"hello")
    assert len(set(seen)) == 4


def test_the_time_of_the_application_is_not_charged_to_clients_with_bytes_waiting(serve, jump):
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/slow":
            half.sendall(GET[-2:])
            jump(100)
        return hello(environ, start_response)

    worker = serve(app).start()
    half = worker.client(GET[:-2])
    watched(worker, 1)
    slow = worker.client(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
    assert read_all(slow).endswith(b"hello")
    assert read_all(half).endswith(b"hello")


@one_thread
def test_a_client_accepted_after_a_slow_request_has_its_full_time(serve, jump):
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/slow":
            jump(100)
        return hello(environ, start_response)

    worker = serve(app, client_header_timeout=60)
    slow = worker.client(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
    half = worker.client(GET[:-2])
    worker.start()
    assert read_all(slow).endswith(b"hello")
    watched(worker, 1)
    jump(2)  # the next turn looks at the deadlines
    assert read_all(worker.client(GET)).endswith(b"hello")
    assert read_all(worker.client(GET)).endswith(b"hello")
    half.sendall(GET[-2:])
    assert read_all(half).endswith(b"hello")


@one_thread
def test_a_worker_that_stops_does_not_serve_the_queue_for_ever(serve, jump):
    served = []

    def app(environ, start_response):
        served.append(1)
        jump(10)  # graceful_timeout is 5
        return hello(environ, start_response)

    worker = serve(app)
    worker.alive = False
    worker.sockets[0].queued = 3
    clients = [worker.client(GET) for _ in range(3)]
    worker.start()
    assert read_all(clients[0]).endswith(b"hello")
    worker.thread.join(20)
    assert served == [1]


def test_an_application_that_closes_the_socket_ends_no_worker(serve):
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/close":
            environ["gunicorn.socket"].close()
        return hello(environ, start_response)

    worker = serve(app).start()
    client = worker.client(b"GET /close HTTP/1.1\r\n")
    watched(worker, 1)
    client.sendall(b"Host: h\r\n\r\n")
    assert read_all(client) == b""
    assert read_all(worker.client(GET)).endswith(b"hello")


def test_an_access_log_that_fails_ends_no_worker(serve):
    def fail(*args):
        raise RuntimeError("no log today")

    worker = serve(hello)
    worker.log.access_log_enabled = True
    worker.log.access = fail
    worker.start()
    for _ in range(2):
        assert read_all(worker.client(GET)).endswith(b"hello")
    assert worker.log.lines == [("exception", "Exception while logging access")] * 2


def test_an_application_that_took_the_socket_over_ends_with_stop_iteration(serve):
    def app(environ, start_response):
        environ["gunicorn.socket"].send(b"own words")
        raise StopIteration

    worker = serve(app).start()
    assert read_all(worker.client(GET)) == b"own words"


def test_what_came_before_a_bad_item_is_sent_and_seen_cut_short(serve):
    def app(environ, start_response):
        start_response("200 OK", [])
        return [b"good", "bad"]

    worker = serve(app).start()
    assert read_all(worker.client(GET)).endswith(b"\r\n\r\n4\r\ngood\r\n")
