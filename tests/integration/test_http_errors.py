"""What goes wrong: malformed requests and failing applications.

Each case shows the same four things: the right status, the connection closed after it, exactly one
line (or one traceback) in the error log, and the next client of the same worker unharmed.
"""

import re

import pytest
from harness import differs
from http_client import BrokenResponse, chunked, request_bytes


def get(*header_lines, line="GET /ok HTTP/1.1"):
    return "\r\n".join([line, "Host: a", *header_lines, "", ""]).encode("latin-1")


def post(*header_lines, body=b""):
    return get(*header_lines, line="POST /echo HTTP/1.1") + body


CHUNKED = "Transfer-Encoding: chunked"
LONG = "x" * 9000

BAD_REQUESTS = {
    # the request line
    "no version": (400, get(line="GET /ok")),
    "two spaces": (400, get(line="GET  /ok HTTP/1.1")),
    "a tab for a space": (400, get(line="GET\t/ok HTTP/1.1")),
    "space in target": (400, get(line="GET /o k HTTP/1.1")),
    "trailing space": (400, get(line="GET /ok HTTP/1.1 ")),
    "leading space": (400, b" " + get()),
    "two leading empty lines": (400, b"\r\n\r\n" + get()),
    "lower-case method": (400, get(line="get /ok HTTP/1.1")),
    "short method": (400, get(line="GE /ok HTTP/1.1")),
    "method no token": (400, get(line="GE(T /ok HTTP/1.1")),
    "target without slash": (400, get(line="GET ok HTTP/1.1")),
    "star with GET": (400, get(line="GET * HTTP/1.1")),
    "raw non-ASCII target": (400, get(line="GET /\xe9 HTTP/1.1")),
    "control byte in target": (400, get(line="GET /\x01 HTTP/1.1")),
    "unclosed IPv6 target": (400, get(line="GET http://[::1 HTTP/1.1")),
    "version HTTP/2.0": (400, get(line="GET /ok HTTP/2.0")),
    "version HTTP/0.9": (400, get(line="GET /ok HTTP/0.9")),
    "version http/1.1": (400, get(line="GET /ok http/1.1")),
    "version HTTP/1.10": (400, get(line="GET /ok HTTP/1.10")),
    "bare LF after the line": (400, b"GET /ok HTTP/1.1\nHost: a\r\n\r\n"),
    "TLS hello": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 20 + b"\n"),
    "PROXY line without permission": (400, b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + get()),
    # header fields
    "no colon": (400, get("Header")),
    "empty name": (400, get(": value")),
    "space before colon": (400, get("Name : value")),
    "name no token": (400, get("Na(me: value")),
    "folded line": (400, get("Name: a\r\n b")),
    "folded first line": (400, b"GET /ok HTTP/1.1\r\n Host: a\r\n\r\n"),
    "NUL in value": (400, get("Name: a\0b")),
    "bare CR in value": (400, get("Name: a\rb")),
    "bare LF in value": (400, get("Name: a\nb")),
    "DEL in value": (400, get("Name: a\x7fb")),
    "two Host": (400, get("Host: b")),
    "two Content-Type": (400, get("Content-Type: a/b", "Content-Type: c/d")),
    # framing
    "length +5": (400, post("Content-Length: +5", body=b"hello")),
    "length -5": (400, post("Content-Length: -5", body=b"hello")),
    "length 5, 5": (400, post("Content-Length: 5, 5", body=b"hello")),
    "length 0x5": (400, post("Content-Length: 0x5", body=b"hello")),
    "length 5_0": (400, post("Content-Length: 5_0", body=b"hello")),
    "length superscript": (400, post("Content-Length: \xb2", body=b"hello")),
    "length empty": (400, post("Content-Length:", body=b"hello")),
    "length twice": (400, post("Content-Length: 5", "Content-Length: 5", body=b"hello")),
    "length and chunked": (400, post("Content-Length: 5", CHUNKED, body=chunked([b"hello"]))),
    "chunked twice": (400, post(CHUNKED, CHUNKED, body=chunked([b"hello"]))),
    "chunked not last": (400, post("Transfer-Encoding: chunked, gzip", body=b"hello")),
    "gzip only": (400, post("Transfer-Encoding: gzip", body=b"hello")),
    "chunked with VT": (400, post("Transfer-Encoding: \x0bchunked", body=chunked([b"hello"]))),
    "chunked in 1.0": (400, get(CHUNKED, line="POST /echo HTTP/1.0") + chunked([b"hello"])),
    "unknown coding": (501, post("Transfer-Encoding: foo, chunked", body=chunked([b"hello"]))),
    "unknown expectation": (417, get("Expect: 200-ok")),
    # limits
    "long line": (414, get(line=f"GET /{LONG} HTTP/1.1")),
    "unfinished long line": (414, b"GET /" + LONG.encode()),
    "long field": (431, get(f"Name: {LONG}")),
    "101 fields": (431, get(*(f"Name-{n}: a" for n in range(101)))),
    # chunked bodies, found wrong when they are read
    "chunk size no hex": (400, post(CHUNKED, body=b"g\r\nhello\r\n0\r\n\r\n")),
    "chunk size with 0x": (400, post(CHUNKED, body=b"0x5\r\nhello\r\n0\r\n\r\n")),
    "chunk size with sign": (400, post(CHUNKED, body=b"+5\r\nhello\r\n0\r\n\r\n")),
    "chunk size with underscore": (400, post(CHUNKED, body=b"0_5\r\nhello\r\n0\r\n\r\n")),
    "chunk size empty": (400, post(CHUNKED, body=b"\r\nhello\r\n0\r\n\r\n")),
    "chunk size huge": (400, post(CHUNKED, body=b"f" * 10000)),
    "chunk too long": (400, post(CHUNKED, body=b"4\r\nhello\r\n0\r\n\r\n")),
    "chunk ends with LF": (400, post(CHUNKED, body=b"5\r\nhello\n0\r\n\r\n")),
    "chunk size line ends with LF": (400, post(CHUNKED, body=b"5\nhello\r\n0\r\n\r\n")),
    "bad chunk extension": (400, post(CHUNKED, body=b"5;=b\r\nhello\r\n0\r\n\r\n")),
    "bad trailer": (400, post(CHUNKED, body=b"0\r\nNa me: b\r\n\r\n")),
    "forbidden trailer": (400, post(CHUNKED, body=b"0\r\nContent-Length: 5\r\n\r\n")),
}

REASONS = {
    400: "Bad Request",
    414: "URI Too Long",
    417: "Expectation Failed",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
}


def log_lines_of(server, mark):
    """The log from the mark on, once the (only) worker has gone on to the next request."""
    assert server.request("/ok").body == b"ok"
    return server.log_text(mark).splitlines()


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_bad_request(kind_server, name):
    status, raw = BAD_REQUESTS[name]
    mark = kind_server.log_mark()
    with kind_server.connect() as client:
        client.send(raw)
        response = client.read_response()
        assert client.read_to_eof() == b""
    assert response.status == status
    lines = log_lines_of(kind_server, mark)
    assert len(lines) == 1, lines
    assert re.search(r"\[WARNING\] Invalid request from ip=127\.0\.0\.1: .", lines[0])


@pytest.mark.parametrize(
    "name",
    [
        "no version",
        "unknown expectation",
        "long line",
        "long field",
        pytest.param("unknown coding", marks=differs("reason-phrases")),
    ],
)
def test_the_error_page(kind_server, name):
    status, raw = BAD_REQUESTS[name]
    reason = REASONS[status]
    with kind_server.connect() as client:
        response = client.send(raw).read_response()
    assert response.raw_head.startswith(f"HTTP/1.1 {status} {reason}\r\n".encode())
    assert response.header("Connection") == "close"
    assert response.header("Content-Type") == "text/html"
    names = [name for name, _ in response.headers]
    assert names == ["Connection", "Content-Type", "Content-Length"]
    assert f"<title>{reason}</title>" in response.text
    assert f"<h1><p>{reason}</p></h1>" in response.text


def test_the_error_page_escapes_what_the_client_sent(kind_server):
    with kind_server.connect() as client:
        response = client.send(get("<script>alert(1)</script>")).read_response()
    assert b"&lt;script&gt;" in response.body
    assert b"<script>" not in response.body


def test_what_is_legal_though_odd(kind_server):
    for raw in (
        get("Content-Length: 000"),
        get("Empty:"),
        get("Name:\t value \t"),
        get("A: \xff"),
        b"GET /ok HTTP/1.1\r\n\r\n",
        get(line="OPTIONS * HTTP/1.1"),
        get(line="GET http://other/ok HTTP/1.1"),
        get(line="GET //ok HTTP/1.1"),
        get(line="GET /ok?a#b HTTP/1.1"),
        get(line="GET /%zz HTTP/1.1"),
        get("Transfer-Encoding: CHUNKED") + b"000\r\n\r\n",
        get("Transfer-Encoding: identity, chunked") + b"0\r\n\r\n",
    ):
        with kind_server.connect() as client:
            assert client.send(raw).read_response().status in (200, 404), raw


# -- the application fails --

FAILING = {
    "raise-before": "raised before headers",
    "start-response-twice": "AssertionError",
    "none-body": "TypeError",
    "bad-status": "ValueError",
    "header-injection": "InvalidHeader|InvalidResponseHeader",
    "bad-header-name": "InvalidResponseHeaderName|InvalidHeaderName",
    "bad-header-type": "TypeError|InvalidHeader|InvalidResponseHeader",
}


@pytest.mark.parametrize(
    "name",
    [
        *FAILING,
        pytest.param("no-start-response", marks=differs("no-start-response")),
        pytest.param("text-body", marks=differs("text-body")),
    ],
)
def test_an_application_that_fails_before_its_headers(kind_server, name):
    mark = kind_server.log_mark()
    with kind_server.connect() as client:
        client.send(request_bytes(f"/{name}"))
        response = client.read_response()
        assert client.read_to_eof() == b""
    assert (response.status, response.reason) == (500, "Internal Server Error")
    assert b"raised" not in response.body  # nothing of the application's reaches the client
    log = "\n".join(log_lines_of(kind_server, mark))
    assert log.count(f"[ERROR] Error handling request GET /{name}") == 1
    assert log.count("Traceback (most recent call last)") == 1
    assert re.search(FAILING.get(name, ""), log)


@pytest.mark.parametrize("name", ["raise-after", "closing-error"])
def test_an_application_that_fails_after_its_headers(kind_server, name):
    mark = kind_server.log_mark()
    with kind_server.connect() as client, pytest.raises(BrokenResponse):
        client.send(request_bytes(f"/{name}")).read_response()  # never looks complete
    log = "\n".join(log_lines_of(kind_server, mark))
    assert log.count("Error handling request") == 1
    assert log.count("Traceback (most recent call last)") == 1


@differs("exc-info-replaces")
def test_exc_info_replaces_the_answer(kind_server):
    response = kind_server.request("/exc-info")
    assert (response.status, response.body) == (503, b"sorry")
    assert response.header("X-First") is None
    assert response.header("Content-Length") == "5"


@pytest.mark.parametrize("target", ["/closing", "/closing-error", "/closing-file"])
def test_the_iterable_is_closed_exactly_once(kind_server, target):
    kind_server.request("/events")
    with kind_server.connect() as client:
        client.send(request_bytes(target, headers=[("Connection", "close")]))
        client.read_to_eof()
    assert kind_server.request("/events").body == b'["closed"]'


def test_the_iterable_is_closed_for_head_too(kind_server):
    kind_server.request("/events")
    with kind_server.connect() as client:  # its end comes after the iterable's, the answer before
        client.send(request_bytes("/closing", "HEAD", headers=[("Connection", "close")]))
        assert client.read_to_eof().startswith(b"HTTP/1.1 200 ")
    assert kind_server.request("/events").body == b'["closed"]'
