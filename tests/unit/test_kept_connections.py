"""A connection is used again for the next client only if nobody has kept anything of it."""

import socket
import weakref

import pytest
from loop_helpers import Threads, Worker, read_all

from cyserve import _accel

COMPILED = _accel.implementation() == "compiled"  # an extension type can be watched

LAST = b"GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 6\r\n\r\nsecret"


@pytest.fixture(params=[Worker, Threads])
def serve(kernel, request):
    workers = []

    def make(app, **kwargs):
        workers.append(request.param(app, threads=1, **kwargs))
        return workers[-1].start()

    yield make
    for worker in workers:
        worker.close()


def ask(worker, request=LAST):
    """What a client of its own is answered, and its address."""
    client = worker.client(request)
    address = client.getsockname()
    with client:
        return read_all(client), address


def answer(start_response, body):
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def test_each_client_has_its_own_address(serve):
    def app(environ, start_response):
        name = f"{environ['REMOTE_ADDR']} {environ['REMOTE_PORT']}"
        peer = environ["gunicorn.socket"].getpeername() if environ["PATH_INFO"] == "/look" else ""
        return answer(start_response, f"{name} {peer}".encode())

    worker = serve(app)
    for path in (b"/", b"/look", b"/", b"/look", b"/look", b"/"):
        text, (host, port) = ask(worker, LAST.replace(b"/last", path))
        peer = str((host, port)) if path == b"/look" else ""
        assert text.endswith(f"\r\n\r\n{host} {port} {peer}".encode())


def test_it_is_used_again(serve):
    seen = []

    def app(environ, start_response):
        seen.append(id(start_response.__self__.req.connection))
        return answer(start_response, b"hello")

    worker = serve(app)
    for _ in range(4):
        assert ask(worker)[0].endswith(b"hello")
    if _accel.is_compiled:  # only C can tell who has kept something
        assert len(set(seen)) == 1


def test_a_kept_socket_is_not_the_next_clients(serve):
    kept = []

    def app(environ, start_response):
        kept.append(environ["gunicorn.socket"])
        return answer(start_response, b"hello")

    worker = serve(app)
    for _ in range(3):
        ask(worker)
    assert len({id(sock) for sock in kept}) == 3
    for sock in kept:
        assert sock.fileno() == -1
        with pytest.raises(OSError, match="Bad file descriptor"):
            sock.send(b"x")


def test_a_kept_body_does_not_read_the_next_clients(serve):
    kept = []

    def app(environ, start_response):
        if environ["REQUEST_METHOD"] == "GET":
            return answer(start_response, b"hello")
        bodies = [body.read() for body in kept]
        kept.append(environ["wsgi.input"])
        return answer(start_response, repr(bodies).encode())

    worker = serve(app)
    texts = [ask(worker, POST)[0] for _ in range(3)]
    assert [text.rpartition(b"\r\n\r\n")[2] for text in texts] == [b"[]", b"[b'']", b"[b'', b'']"]


@pytest.mark.parametrize("weak", [False, True] if COMPILED else [False])
def test_a_kept_connection_stays_what_it_was(serve, weak):
    kept = []

    def app(environ, start_response):
        connection = start_response.__self__.req.connection
        kept.append(weakref.ref(connection) if weak else connection)
        return answer(start_response, b"hello")

    worker = serve(app)
    addresses = [ask(worker)[1] for _ in range(3)]
    for entry, address in zip(kept, addresses, strict=True):
        connection = entry() if weak else entry
        assert (weak and connection is None) or connection.client == address


def test_a_client_that_breaks_off_is_no_trouble_to_the_next(serve):
    def app(environ, start_response):
        return answer(start_response, environ["REQUEST_METHOD"].encode())

    worker = serve(app)
    big = POST.replace(b"Content-Length: 6", b"Content-Length: 200000") + b"x" * 65536
    for _ in range(3):
        with worker.client(big) as client:
            client.shutdown(socket.SHUT_WR)
            read_all(client)
        assert ask(worker)[0].endswith(b"GET")
