"""What the gevent worker is asked for: waiting, bodies, and what the environ gives to greenlets."""

import json
import os
import sys
import threading
import time

import gevent
import gevent.socket
from gevent import monkey

from cyserve.workers.base_async import ALREADY_HANDLED

PATCHED = monkey.is_module_patched("socket") and monkey.is_module_patched("time")
waiting = 0


def answer(start_response, body, *fields):
    start_response("200 OK", [("Content-Length", str(len(body))), *fields])
    return [body]


def ok(environ, start_response):
    return answer(start_response, b"ok")


def wait_go(environ, start_response):
    """Answers when the file `go` is there; time.sleep lets the others run."""
    while not os.path.exists("go"):
        time.sleep(0.01)
    return answer(start_response, b"waited")


def meet(environ, start_response):
    """Answers when as many requests as the query says are in here at once."""
    global waiting
    waiting += 1
    while waiting < int(environ["QUERY_STRING"]):
        sleep = gevent.sleep if environ["PATH_INFO"] == "/meet" else time.sleep
        sleep(0.01)
    return answer(start_response, b"met")


def spin(environ, start_response):
    while True:
        pass


def echo(environ, start_response):
    return answer(start_response, environ["wsgi.input"].read())


def echo_elsewhere(environ, start_response):
    """The body is read in a thread, which is a greenlet, and the answer is sent meanwhile."""
    pieces = []
    start_response("200 OK", [])

    def read():
        while piece := environ["wsgi.input"].read(65536):
            pieces.append(piece)

    reader = threading.Thread(target=read)
    reader.start()
    while reader.is_alive():
        yield b"." * 200_000
        time.sleep(0.01)
    reader.join()
    yield b"%d" % sum(map(len, pieces))


def big(environ, start_response):
    return answer(start_response, b"x" * (5 << 20))


def pieces(environ, start_response):
    start_response("200 OK", [])
    for number in range(5):
        gevent.sleep(0.01)
        yield b"%d" % number


def about(environ, start_response):
    sock = environ["gunicorn.socket"]
    told = {
        "patched at import": PATCHED,
        "patched": monkey.is_module_patched("socket"),
        "socket": isinstance(sock, gevent.socket.socket),
        "timeout": sock.gettimeout(),
        "multithread": environ["wsgi.multithread"],
        "ssl": "ssl" in sys.modules,
    }
    return answer(start_response, json.dumps(told).encode())


def take_over(environ, start_response):
    """Speaks on the socket itself, as WebSocket libraries do, then says so."""
    sock = environ["gunicorn.socket"]
    sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n")
    while data := sock.recv(100):
        sock.sendall(data.upper())
        if data == b"bye":
            break
    if environ["QUERY_STRING"] == "stop":
        raise StopIteration
    if environ["QUERY_STRING"] == "mark":
        return "mine"
    return ALREADY_HANDLED


ROUTES = {
    "/": ok,
    "/wait": wait_go,
    "/meet": meet,
    "/meet-time": meet,
    "/spin": spin,
    "/echo": echo,
    "/echo-elsewhere": echo_elsewhere,
    "/big": big,
    "/pieces": pieces,
    "/about": about,
    "/take-over": take_over,
}


def app(environ, start_response):
    return ROUTES[environ["PATH_INFO"]](environ, start_response)
