"""Clients that come in masses, leave in the middle or leave nothing free.

What is shown each time is what remains: the same workers serve the next client, hold no descriptor
of the past ones, use no CPU and have logged no traceback (`unharmed`).
"""

import json
import socket
import struct

import pytest
from http_client import chunked, request_bytes
from worker_kinds import assert_quiet, open_files, unharmed

RESET = struct.pack("ii", 1, 0)
SAID = [b"", b"GET /ok HT", b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01"]


def test_10000_clients_that_connect_and_reset(kind_server):
    mark = kind_server.log_mark()
    with unharmed(kind_server):
        for number in range(10_000):
            with socket.create_connection(kind_server.address) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                if number % 5 == 0:
                    sock.send(SAID[number // 5 % len(SAID)])
    assert kind_server.log_text(mark) == ""


@pytest.mark.parametrize("end", ["reset", "close"])
@pytest.mark.parametrize("target", ["/big-item", "/big-generator", "/closing-endless"])
def test_clients_that_leave_in_the_middle_of_an_answer(kind_server, target, end):
    kind_server.request("/events")
    with unharmed(kind_server):
        for _ in range(40):  # one by one: a streamed answer holds a sync worker
            client = kind_server.connect().send(request_bytes(target))
            client.sock.recv(1000)
            if end == "reset":
                client.reset()
            else:
                client.sock.close()
    closed = json.loads(kind_server.request("/events").body)
    assert closed == ["closed"] * 40 * (target == "/closing-endless")


@pytest.mark.parametrize(
    "raw",
    [request_bytes("/echo", "POST", body=b"x" * 300_000)[:-5], b"POST /echo HTTP/1.1\r\nA"],
    ids=["body", "head"],
)
def test_clients_that_leave_in_the_middle_of_a_request(kind_server, raw):
    with unharmed(kind_server):
        for number in range(60):
            client = kind_server.connect().send(raw)
            if number % 2:
                client.reset()
            else:
                client.sock.close()


def test_half_closed_clients_are_answered(kind_server):
    requests = {
        request_bytes("/ok"): b"ok",
        request_bytes("/echo", "POST", body=b"x" * 300_000): b"x" * 300_000,
        request_bytes("/echo", "POST", [("Transfer-Encoding", "chunked")])
        + chunked([b"chunks"]): b"chunks",
        request_bytes("/sized?n=3000000"): b"s" * 3_000_000,
    }
    with unharmed(kind_server):
        for raw, body in [*requests.items()] * 10:
            with kind_server.connect() as client:
                client.send(raw).finish_sending()
                assert client.read_response().body == body
                assert client.read_to_eof() == b""
        with kind_server.connect() as client:
            assert client.send(b"GET /ok HT").finish_sending().read_to_eof() == b""


def test_half_closed_silent_clients_are_let_go(kind_server):
    with unharmed(kind_server):
        clients = [kind_server.connect().finish_sending() for _ in range(50)]
        for client in clients:
            with client:
                assert client.read_to_eof() == b""


FEW_FILES = ("sh", "-c", 'ulimit -n 64; exec "$@"', "sh")


def test_no_descriptors_left(start_kind):
    """200 clients of a server that may have 64 descriptors: it waits, says so once, and resumes."""
    server = start_kind(prefix=FEW_FILES, config="client_header_timeout = 60")
    [worker] = server.worker_pids()
    complaint = r"\[ERROR\] Cannot accept connections for now: "
    with unharmed(server):
        clients = [server.connect() for _ in range(200)]
        server.wait_log(complaint)
        assert open_files(worker) <= 64
        for _ in range(4):
            assert_quiet(worker)
        for client in clients:
            client.send(request_bytes("/ok", headers=[("Connection", "close")]))
        for client in clients:  # each that ends makes room for another
            with client:
                assert client.read_response().body == b"ok"
    assert len(server.wait_log(complaint)) == 1


def test_no_descriptors_left_and_the_clients_go(start_kind):
    server = start_kind(prefix=FEW_FILES, config="client_header_timeout = 60")
    with unharmed(server):
        for _ in range(3):
            clients = [server.connect() for _ in range(200)]
            server.wait_log(r"Cannot accept connections for now: ")
            for client in clients:
                client.sock.close()
            assert server.request("/ok").body == b"ok"
