"""Epoll tells the loop once what has come: nothing of it may be forgotten."""

import socket
import threading

import pytest
from loop_helpers import GET, hello, read_all


def test_what_comes_while_a_request_is_run_is_noticed(serve):
    """The end of the client's stream as well, which comes with its last request."""
    running, more = threading.Semaphore(0), threading.Semaphore(0)

    def app(environ, start_response):
        running.release()
        assert more.acquire(timeout=10)
        return hello(environ, start_response)

    worker = serve(app, keep_alive=True, keepalive=60).start()
    client = worker.client(GET)
    for _ in range(3):
        assert running.acquire(timeout=10)
        client.sendall(GET)
        more.release()
        assert client.recv(65536).endswith(b"hello")
    assert running.acquire(timeout=10)
    client.sendall(GET)
    client.shutdown(socket.SHUT_WR)
    more.release(2)
    assert read_all(client).count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize("size", [16384, 65536, 3 * 65536])
def test_requests_that_end_where_a_read_ends(serve, size):
    def app(environ, start_response):
        left = int(environ["CONTENT_LENGTH"])
        while left:
            left -= len(environ["wsgi.input"].read(65536))
        return hello(environ, start_response)

    head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n"
    body = b"x" * (size - len(head % size))
    worker = serve(app, keep_alive=True, keepalive=60).start()
    client = worker.client()
    for _ in range(3):
        client.sendall(head % len(body) + body)
        assert client.recv(65536).endswith(b"hello")
    client.sendall(2 * (head % len(body) + body))
    client.shutdown(socket.SHUT_WR)
    assert read_all(client).count(b"HTTP/1.1 200 OK") == 2
