"""Streams of the gthread worker: pieces that come fast travel together, none is held up."""

import re

import pytest
from harness import differs, strace_words, wait_for
from http_client import request_bytes

APP = """
import os, threading, time

def app(environ, start_response):
    global SOCKET
    SOCKET = environ["gunicorn.socket"]
    write = start_response("200 OK", FIELDS)
    return globals()[environ["PATH_INFO"][1:]](write)

FIELDS = []

def many(write):
    for number in range(500):
        yield b"%03d" % number

def sleeping(write):
    yield from (b"a", b"b", b"c")
    while not os.path.exists("go"):
        time.sleep(0.01)
    yield b"d"

def busy(write):
    yield from (b"a", b"b", b"c")
    while not os.path.exists("go"):  # which lets go of the GIL, so not too often
        sum(number for number in range(200_000))
    yield b"d"

def closing(write):
    class Items:
        items = iter((b"a", b"b", b"c"))
        def __iter__(self):
            return self
        def __next__(self):
            for item in self.items:
                return item
            raise RuntimeError("no more of it")
        def close(self):
            while not os.path.exists("go"):
                time.sleep(0.01)
    return Items()

def speaking(write):
    yield b"a"
    yield b"b"
    SOCKET.sendall(b"1\\r\\nc\\r\\n")
    yield b"d"

def failing(write):
    yield from (b"a", b"b", b"c")
    raise RuntimeError("no more of it")

def writing(write):
    yield from (b"a", b"b")
    write(b"c")
    yield b"d"
    write(b"e")
"""


@pytest.fixture
def start(start_server):
    """Starts a gthread worker for APP."""

    def start(*args, fields="[]", **options):
        files = {"streams.py": APP.replace("FIELDS = []", f"FIELDS = {fields}")}
        return start_server("streams:app", "-k", "gthread", *args, files=files, **options)

    return start


@differs("postpone-output")
@pytest.mark.parametrize("size", [131072, 0])
def test_pieces_that_come_fast_travel_together(start, tmp_path, size):
    trace = tmp_path / "trace"
    words = strace_words(trace, "sendto,sendmsg,write,close")
    server = start("--postpone-output", str(size), prefix=words)
    with server.connect() as client:
        client.send(request_bytes("/many", headers=[("Connection", "close")]))
        assert client.read_to_eof().endswith(b"499\r\n0\r\n\r\n")

    def calls():
        """What was called for the connection, once it is closed."""
        names = re.findall(r"(\w+)\(\d+<(?:socket|TCP)", trace.read_text())
        return names[-1:] == ["close"] and names

    sends = len([name for name in wait_for(calls, "the close in the trace") if name != "close"])
    assert sends < 250 if size else sends == 501


@pytest.mark.parametrize("fields", ["[]", "[('Content-Length', '4')]"])
@pytest.mark.parametrize("target", ["/sleeping", "/busy"])
def test_none_waits_for_an_application_that_takes_its_time(start, target, fields):
    server = start(fields=fields)
    with server.connect() as client:
        client.send(request_bytes(target))
        while not {*b"abc"} <= {*client.buffer.partition(b"\r\n\r\n")[2]}:
            client.fill()
        assert b"d" not in client.buffer.partition(b"\r\n\r\n")[2]
        (server.directory / "go").touch()
        assert client.read_response().body == b"abcd"


def test_what_came_before_a_failure_is_sent(start):
    server = start()
    with server.connect() as client:
        answer = client.send(request_bytes("/failing")).read_to_eof()
    assert answer.endswith(b"\r\n\r\n1\r\na\r\n1\r\nb\r\n1\r\nc\r\n")
    server.wait_log("RuntimeError: no more of it")


def test_what_came_before_a_failure_does_not_wait_for_close(start):
    server = start()
    with server.connect() as client:
        client.send(request_bytes("/closing"))
        while not client.buffer.endswith(b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n"):
            client.fill()
        answer = client.buffer
        (server.directory / "go").touch()
        assert client.read_to_eof() == answer  # and nothing more


def test_an_application_that_uses_the_socket_itself(start):
    assert start().request("/speaking").chunks == [b"a", b"b", b"c", b"d"]


def test_write_and_items_keep_their_order(start):
    assert start().request("/writing").body == b"abcde"


@pytest.mark.parametrize("threads", ["1", "4"])
def test_streams_side_by_side(start, threads):
    server = start("--threads", threads)
    clients = [server.connect() for _ in range(8)]
    try:
        for _ in range(20):
            for client in clients:
                client.send(request_bytes("/many"))
            for client in clients:
                response = client.read_response()
                assert response.chunks == [b"%03d" % number for number in range(500)]
    finally:
        for client in clients:
            client.sock.close()
    assert "[ERROR]" not in server.log_text()
