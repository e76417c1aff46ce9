"""What an application has kept of a request speaks to no other, whatever is used again."""

import gc
import socket

import pytest
from loop_helpers import GET, Threads, Worker, read_all

from cyserve.http.response import Response

LAST = b"GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


@pytest.fixture(params=[Worker, Threads])
def serve(kernel, request):
    workers = []

    def make(app, **kwargs):
        workers.append(request.param(app, keep_alive=True, **kwargs))
        return workers[-1].start()

    yield make
    for worker in workers:
        worker.close()


def answers(serve, app, count=3):
    """What `count` requests on one connection are answered; all on one thread."""
    return read_all(serve(app, threads=1).client(GET * (count - 1) + LAST))


def answer(start_response, body):
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


@pytest.mark.parametrize("kept", ["early_hints", "start_response", "write", "environ"])
def test_a_late_call_reaches_no_other_request(serve, kept):
    old = []

    def app(environ, start_response):
        for late in old:
            late()
        body = answer(start_response, b"hello")
        if kept == "early_hints":
            hint = environ["wsgi.early_hints"]
            old.append(lambda: hint([("Link", "</secret>")]))
        elif kept == "environ":
            old.append(lambda: environ["wsgi.early_hints"]([("Link", "</secret>")]))
        elif kept == "start_response":

            def late():
                with pytest.raises(AssertionError):
                    start_response("200 OK", [("X-Secret", "1")])

            old.append(late)
        else:
            old.append(start_response.__self__)
            old[-1:] = [lambda resp=old[-1]: resp.headers.append(("X-Secret", "1"))]
        return body

    text = answers(serve, app)
    assert text.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert b"ecret" not in text
    assert b" 103 " not in text


def test_hints_of_each_request_are_its_own(serve):
    def app(environ, start_response):
        environ["wsgi.early_hints"]([("Link", "</style.css>")])
        return answer(start_response, b"hello")

    assert answers(serve, app).count(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n") == 3


def test_fields_of_one_answer_are_not_in_the_next(serve):
    numbers = iter(range(3))

    def app(environ, start_response):
        number = next(numbers)
        fields = [("Content-Length", "5")] + [("Set-Cookie", "a=secret")] * (number == 0)
        start_response("201 Created" if number == 0 else "200 OK", fields)
        return [b"hello"]

    text = answers(serve, app)
    assert text.count(b"Set-Cookie") == text.count(b"201 Created") == 1


def test_no_answer_waits_for_the_garbage_collector(serve):
    def app(environ, start_response):
        return answer(start_response, b"hello")

    def alive():
        return {id(thing): thing for thing in gc.get_objects() if isinstance(thing, Response)}

    gc.collect()
    gc.disable()
    try:
        # What other tests in this process have kept is no matter here; held, so that no id
        # of theirs is given out again.
        before = alive()
        assert answers(serve, app, 50).count(b"hello") == 50
        assert len(alive().keys() - before.keys()) <= 8
    finally:
        gc.enable()


def test_an_application_that_replaces_the_class_of_sockets(serve, monkeypatch):
    class Proxied(socket.socket):
        def __init__(self, family=socket.AF_INET, *more):
            super().__init__(family, *more)

    def app(environ, start_response):
        monkeypatch.setattr(socket, "socket", Proxied)
        peer = environ["gunicorn.socket"].getpeername()
        monkeypatch.undo()
        return answer(start_response, str(peer == client.getsockname()).encode())

    worker = serve(app, threads=1)
    client = worker.client()
    client.sendall(LAST)
    assert read_all(client).endswith(b"True")
