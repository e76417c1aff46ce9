"""Well-formed requests and what comes back, byte for byte: order, framing, hints, no-body answers.

One sync worker answers everything here, so each test also shows that the request before it left
the worker unharmed.
"""

import re

import pytest
from harness import differs
from http_client import Client, chunked, request_bytes


def unix(server):
    return Client(server.addresses[1])


def test_head_of_an_answer(http_server):
    response = http_server.request("/ok")
    lines = response.raw_head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 200 OK"
    assert re.fullmatch(r"Server: \w+", lines[1])
    assert re.fullmatch(r"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", lines[2])
    assert lines[3:] == ["Connection: close", "Content-Length: 2", "", ""]
    assert response.body == b"ok"


def test_a_sync_worker_answers_the_first_of_two_pipelined_requests_and_closes(http_server):
    with http_server.connect() as client:
        client.send(request_bytes("/environ?first") + request_bytes("/environ?second"))
        response = client.read_response()
        assert b'"QUERY_STRING": "first"' in response.body
        assert response.header("Connection") == "close"
        assert client.read_to_eof() == b""


@differs("closing-waits")
def test_answers_go_to_the_clients_that_asked(http_server):
    clients = [http_server.connect() for _ in range(20)]
    for number, client in enumerate(clients):
        client.send(request_bytes("/echo", "POST", body=b"client %d" % number))
    for number, client in reversed(list(enumerate(clients))):
        with client:
            assert client.read_response().body == b"client %d" % number


def test_head_has_headers_and_no_body(http_server):
    with http_server.connect() as client:
        client.send(request_bytes("/ok", "HEAD"))
        response = client.read_response("HEAD")
        assert response.status == 200
        assert response.header("Content-Length") == "2"
        assert client.read_to_eof() == b""


@pytest.mark.parametrize("line", ["204 No Content", "304 Not Modified"])
def test_no_body_statuses(http_server, line):
    with http_server.connect() as client:
        client.send(request_bytes(f"/status?line={line.replace(' ', '+')}"))
        response = client.read_response()
        assert f"{response.status} {response.reason}" == line
        assert response.header("Transfer-Encoding") is None
        assert client.read_to_eof() == b""


def test_content_length_is_kept_for_304_and_dropped_for_204(http_server):
    kept = http_server.request("/status?line=304+Not+Modified&length=12")
    assert kept.header("Content-Length") == "12"
    dropped = http_server.request("/status?line=204+No+Content&length=12")
    assert dropped.header("Content-Length") is None


@pytest.mark.parametrize("line", ["200 OK", "299 Odd But Legal", "404 Not Found", "599 Own"])
def test_status_line_is_sent_as_given(http_server, line):
    response = http_server.request(f"/status?line={line.replace(' ', '+')}")
    assert response.raw_head.startswith(f"HTTP/1.1 {line}\r\n".encode())


def test_unknown_length_is_chunked_for_1_1(http_server):
    response = http_server.request("/status?line=200+OK")
    assert response.header("Transfer-Encoding") == "chunked"
    assert response.body == b"twelve bytes"


def test_unknown_length_ends_with_the_connection_for_1_0(http_server):
    with http_server.connect() as client:
        client.send(b"GET /status?line=200+OK HTTP/1.0\r\n\r\n")
        head, _, body = client.read_to_eof().partition(b"\r\n\r\n")
        assert b"chunked" not in head
        assert b"\r\nConnection: close" in head
        assert body == b"twelve bytes"


def test_write_callable_then_items(http_server):
    assert http_server.request("/by-write").body == b"written, returned"


def test_headers_are_sent_without_any_item(http_server):
    response = http_server.request("/no-items")
    assert response.status == 200
    assert response.header("X-Kept") == "yes"
    assert response.body == b""


def test_body_is_cut_at_content_length(http_server):
    with http_server.connect() as client:
        client.send(request_bytes("/longer-than-announced"))
        assert client.read_to_eof().partition(b"\r\n\r\n")[2] == b"four"


def test_hop_by_hop_headers_of_the_application_are_dropped(http_server):
    response = http_server.request("/hop-by-hop")
    assert response.header("Connection") == "close"
    assert response.header("Keep-Alive") is None
    assert response.header("Transfer-Encoding") is None
    assert response.header("Server") != "mine"
    assert response.header("Date") != "today"
    assert response.header("X-Own") == "kept"
    assert ("x-lower", "CaseKept") in response.headers


# -- early hints and Expect --


def test_early_hints_come_before_the_answer(http_server):
    with http_server.connect() as client:
        client.send(request_bytes("/early-hints"))
        first, second, last = (client.read_response() for _ in range(3))
        assert [r.status for r in (first, second, last)] == [103, 103, 200]
        assert first.headers == [("Link", "</style.css>; rel=preload"), ("X-Hint", "1")]
        assert second.header("Link") == "</script.js>; rel=preload"
        assert last.body == b"after the hints"


def test_no_early_hints_for_1_0(http_server):
    with http_server.connect() as client:
        client.send(b"GET /early-hints HTTP/1.0\r\n\r\n")
        assert client.read_response().status == 200


@pytest.mark.parametrize("expectation", ["100-continue", "100-Continue"])
@pytest.mark.parametrize("size", [5, 300_000])
def test_expect_100_continue(http_server, expectation, size):
    body = b"b" * size
    with http_server.connect() as client:
        client.send(request_bytes("/echo", "POST", [("Expect", expectation)], body)[:-size])
        assert client.read_response().raw_head == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(body)
        assert client.read_response().body == body


def test_expect_100_continue_with_a_chunked_body(http_server):
    with http_server.connect() as client:
        client.send(
            request_bytes(
                "/echo", "POST", [("Expect", "100-continue"), ("Transfer-Encoding", "chunked")]
            )
        )
        assert client.read_response().status == 100
        client.send(chunked([b"abc"]))
        assert client.read_response().body == b"abc"


def test_expect_when_the_client_does_not_wait(http_server):
    with http_server.connect() as client:
        client.send(request_bytes("/echo", "POST", [("Expect", "100-continue")], b"hello"))
        statuses = [(response := client.read_response()).status]
        if response.status == 100:  # allowed (RFC 9110 10.1.1), but needless now
            statuses.append((response := client.read_response()).status)
        assert statuses[-1] == 200
        assert response.body == b"hello"


def test_expect_is_ignored_for_1_0(http_server):
    with http_server.connect() as client:
        client.send(b"POST /echo HTTP/1.0\r\nExpect: 100-continue\r\n")
        client.send(b"Content-Length: 5\r\n\r\nhello")
        response = client.read_response()
        assert (response.status, response.body) == (200, b"hello")


# -- heads and bodies in pieces --


def test_a_head_split_anywhere(http_server):
    raw = b"GET /ok?a=b HTTP/1.1\r\nHost: example\r\nX-Long: value, value\r\n\r\n"
    for place in range(1, len(raw)):
        with unix(http_server) as client:
            client.send_apart(raw[:place], raw[place:])
            assert client.read_response().body == b"ok", f"split at {place}"


def test_a_chunked_upload_split_anywhere(http_server):
    head = request_bytes("/echo", "POST", [("Transfer-Encoding", "chunked")])
    body = b'5;ext=1;q="a b"\r\nhello\r\n00006\r\n world\r\n0\r\nX-Trailer: seen\r\n\r\n'
    for place in range(1, len(body)):
        with unix(http_server) as client:
            client.send_apart(head + body[:place], body[place:])
            response = client.read_response()
            assert (response.status, response.body) == (200, b"hello world"), f"split at {place}"


def test_a_request_byte_by_byte(http_server):
    raw = request_bytes("/echo", "POST", [("Transfer-Encoding", "chunked")])
    raw += chunked([b"one", b"two"], trailers=b"A: b\r\n")
    with unix(http_server) as client:
        client.send_apart(*(raw[i : i + 1] for i in range(len(raw))))
        assert client.read_response().body == b"onetwo"


def test_a_body_split_from_its_head(http_server):
    raw = request_bytes("/echo", "POST", body=b"0123456789")
    for place in range(len(raw) - 11, len(raw)):
        with unix(http_server) as client:
            client.send_apart(raw[:place], raw[place:])
            assert client.read_response().body == b"0123456789"


def test_trailers_are_not_in_the_environ(http_server):
    with http_server.connect() as client:
        client.send(request_bytes("/environ", "POST", [("Transfer-Encoding", "chunked")]))
        client.send(chunked([b"x"], trailers=b"X-Trailer: hidden\r\n"))
        assert b"X_TRAILER" not in client.read_response().body


def test_one_leading_empty_line_is_skipped(http_server):
    with http_server.connect() as client:
        client.send(b"\r\n" + request_bytes("/ok"))
        assert client.read_response().body == b"ok"
