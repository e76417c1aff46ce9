"""Clients that are slow, silent or gone cost a file descriptor, never a worker or a thread.

Every test has one worker, and a good client beside the bad ones: it is the proof. That the good
one is served *while* the bad ones still hold their connections is what is shown, not how fast.
"""

import socket

import pytest
from harness import differs, wait_for
from http_client import Client, chunked, request_bytes
from worker_kinds import files_at_rest, open_files, unharmed

HALF_HEAD = b"GET /ok HTTP/1.1\r\nHost: a\r\nX-Unfini"
HALF_BODY = b"POST /echo HTTP/1.1\r\nContent-Length: 10\r\n\r\nhello"
HALF_CHUNK = b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello"


def is_open(client):
    """True while the server has neither closed the connection nor said anything."""
    client.sock.setblocking(False)
    try:
        client.sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    finally:
        client.sock.settimeout(30)
    return False


@differs("slow-clients")
def test_1200_unfinished_requests_delay_nobody(kind_server):
    with unharmed(kind_server):
        bad = []
        try:
            for said, number in ((b"", 500), (HALF_HEAD, 500), (HALF_BODY, 100), (HALF_CHUNK, 100)):
                bad += [kind_server.connect().send(said) for _ in range(number)]
            for _ in range(10):
                assert kind_server.request("/ok").body == b"ok"
            assert [client for client in bad if not is_open(client)] == []
        finally:
            for client in bad:
                client.sock.close()


@differs("slow-clients")
def test_requests_that_trickle_in_delay_nobody_and_are_answered(kind_server):
    requests = {
        b"ok": request_bytes("/ok"),
        b"length": request_bytes("/echo", "POST", body=b"length"),
        b"chunks": request_bytes("/echo", "POST", [("Transfer-Encoding", "chunked")])
        + chunked([b"chu", b"nks"]),
    }
    slow = [(kind_server.connect(), body, raw) for body, raw in requests.items() for _ in range(20)]
    for place in range(0, max(map(len, requests.values())), 3):
        for client, _, raw in slow:
            client.send(raw[place : place + 3])
        assert kind_server.request("/ok").body == b"ok"
    for client, body, _ in slow:
        with client:
            assert client.read_response().body == body


def test_slow_readers_of_large_answers_delay_nobody(kind_server):
    size = 3_000_000
    with unharmed(kind_server):
        slow = [Client(kind_server.address, receive_buffer=4096) for _ in range(20)]
        for client in slow:
            client.send(request_bytes(f"/sized?n={size}"))
            client.buffer = client.sock.recv(100)
        for _ in range(10):
            assert kind_server.request("/ok").body == b"ok"
        for client in slow:
            with client:
                assert client.read_response().body == b"s" * size


def test_slow_readers_of_streamed_answers_delay_nobody_else(keeping_server):
    with unharmed(keeping_server):
        slow = [Client(keeping_server.address, receive_buffer=4096) for _ in range(3)]
        for client in slow:
            client.send(request_bytes("/closing-endless"))
            client.sock.recv(100)
        for _ in range(10):
            assert keeping_server.request("/ok").body == b"ok"
        for client in slow:
            client.sock.close()


@differs("own-settings")
def test_client_header_timeout_is_a_total(start_kind):
    # A byte now and then must not prolong it: the answer comes although bytes still flow.
    server = start_kind(config="client_header_timeout = 1")
    with server.connect().send(b"GET /ok HTTP/1.1\r\nX: ") as client:
        client.sock.settimeout(0.1)
        for _ in range(300):
            try:
                if client.sock.recv(1, socket.MSG_PEEK):
                    break
            except TimeoutError:
                client.send(b"x")
        assert client.read_response().status == 408


@differs("own-settings")
def test_client_body_timeout_while_the_application_reads(start_kind):
    server = start_kind(config="client_body_timeout = 1")
    raw = request_bytes("/record-read", "POST", body=b"x" * 300_000)
    with server.connect().send(raw[:-1]) as client:
        assert not client.read_to_eof().startswith(b"HTTP/1.1 2")
    assert server.request("/events").body == b'["called", "OSError"]'


@differs("slow-clients")
def test_a_large_upload_that_trickles_costs_its_client_not_the_sync_worker(start_server):
    server = start_server("requests_app:app", "--timeout", "4")
    workers = server.worker_pids()
    raw = request_bytes("/record-read", "POST", body=b"x" * 300_000)
    with server.connect().send(raw[:100_000]) as client:
        client.sock.settimeout(0.1)
        for _ in range(300):
            try:
                if client.sock.recv(1, socket.MSG_PEEK):
                    break
            except TimeoutError:
                client.send(b"x")
        client.sock.settimeout(10)
        assert client.read_response().status == 408
    assert server.request("/ok").status == 200
    assert server.worker_pids() == workers
    assert "WORKER TIMEOUT" not in server.log_text()


def test_a_large_upload_may_outlive_the_timeout_of_workers_that_serve_others(start_keeping):
    server = start_keeping("--timeout", "3")
    with unharmed(server), server.connect() as client:
        raw = request_bytes("/echo", "POST", body=b"x" * 300_000)
        client.send(raw[:-30])
        client.sock.settimeout(0.15)
        for place in range(30, 0, -1):
            with pytest.raises(TimeoutError):
                client.sock.recv(1, socket.MSG_PEEK)
            assert server.request("/ok").status == 200
            client.send(raw[-place : len(raw) - place + 1])
        client.sock.settimeout(10)
        assert client.read_response().body == b"x" * 300_000


@differs("own-settings")
@pytest.mark.parametrize("target", ["/big-item", "/closing-endless"])
def test_a_client_that_stops_reading_is_left_after_send_timeout(start_kind, target):
    server = start_kind(config="send_timeout = 1")
    [(worker, at_rest)] = files_at_rest(server).items()
    with Client(server.address, receive_buffer=4096) as client:
        client.send(request_bytes(target))
        received = client.sock.recv(100)
        wait_for(lambda: open_files(worker) == at_rest, "the worker to close the connection")
        try:
            received += client.read_to_eof()
        except ConnectionError:
            pass  # a reset is as good
        assert b"200 OK" in received
        assert len(received) < 10 << 20
    assert server.request("/events").body == (b'["closed"]' if "closing" in target else b"[]")


@differs("closing-waits")
def test_clients_that_stay_after_connection_close_hold_nobody(kind_server):
    staying = []
    try:
        for _ in range(30):
            client = kind_server.connect()
            client.send(request_bytes("/ok", headers=[("Connection", "close")]))
            staying.append(client)
            assert client.read_response().header("Connection") == "close"
    finally:
        for client in staying:
            client.sock.close()


@differs("closing-waits")
def test_clients_that_go_on_sending_after_the_answer_hold_nobody(kind_server):
    lingering = []
    try:
        for _ in range(3):
            client = kind_server.connect()
            client.send(request_bytes("/unread", "POST", body=b"x" * 500_000)[:-100_000])
            lingering.append(client)
            assert client.read_response().status == 401
            assert kind_server.request("/ok").status == 200
        for client in lingering:
            client.send(b"x" * 50_000)  # no reset: the rest is still taken
            assert client.read_to_eof() == b""
    finally:
        for client in lingering:
            client.sock.close()


@differs("early-answer")
def test_an_early_answer_reaches_a_client_that_sends_5_megabytes_first(kind_server):
    for _ in range(5):
        with kind_server.connect() as client:
            client.send(request_bytes("/unread", "POST", body=b"x" * (5 << 20)))
            response = client.read_response()
            assert (response.status, response.body) == (401, b"not read")


@differs("early-answer")
def test_an_error_page_reaches_a_client_that_sends_5_megabytes_first(kind_server):
    with kind_server.connect() as client:
        client.send(b"POST /echo HTTP/1.1\r\nContent-Length: 5242880\r\nBad Name: x\r\n\r\n")
        client.send(b"x" * (5 << 20))
        assert client.read_response().status == 400
