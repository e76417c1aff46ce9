"""The access line of a request that was refused: as far as it is known, and never an exception."""

import pytest
from http_helpers import Log, Peer
from log_helpers import DEFAULT, own_logging, settings

from cyserve import glogging
from cyserve._errors import ParseException, RequestTimeout, ServiceUnavailable
from cyserve.access_log import compile_format
from cyserve.http import refusal
from cyserve.http.request import Request


class AccessLog(Log):
    """Also keeps what its access() is given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def access(self, *args):
        self.seen.append(args)


@pytest.fixture
def refuse(kernel):
    peers = []

    def make(sent, exc=None, log=None, **options):
        """Lets `sent` come in and be parsed, then reports the error; returns the log."""
        peer = Peer(sent, **options)
        peers.append(peer)
        connection = peer.connection
        connection.context.log = log = AccessLog() if log is None else log
        connection.context.access = log.access
        connection.transport.fill(65536)
        try:
            head = connection.context.rules.parse(connection.transport.input)
            if head is not None:
                connection.request = Request(head, connection)
        except ParseException as error:
            exc = exc or error
        refusal.report(connection, exc)
        return log

    yield make
    for peer in peers:
        peer.close()


LONG = b"x" * 9000


@pytest.mark.parametrize(
    ("sent", "line", "status"),
    [
        (b"GET /a?b=c HTTP/1.1\r\nBad Name: x\r\n\r\n", "GET /a?b=c HTTP/1.1", "400"),
        (b"\r\nGET / HTTP/1.1\r\nBad Name: x\r\n\r\n", "GET / HTTP/1.1", "400"),
        (b"get / HTTP/1.1\r\n", "get / HTTP/1.1", "400"),
        (b"GET / HTTP/1.1\nHost: a\r\n\r\n", "GET / HTTP/1.1", "400"),
        (b"GET / HTTP/3.0\r\n", "GET / HTTP/3.0", "400"),
        (b"GET /" + LONG, f"GET /{'x' * 511}... -", "414"),
        (b"GET /" + LONG + b" HTTP/1.1\r\n", f"GET /{'x' * 511}... -", "414"),  # ends too far off
        (b"GET /" + LONG[:5000] + b" HTTP/1.1\r\n", f"GET /{'x' * 511}... HTTP/1.1", "414"),
        (b"GET /\r\n", "-", "400"),
        (b"GET / b HTTP/1.1\r\n", "-", "400"),
        (b"GET /\xe9 HTTP/1.1\r\n", "-", "400"),
        (b"GET /\x1b[31m HTTP/1.1\r\n", "-", "400"),
        (b"\x16\x03\x01\x02\x00\x01\n", "-", "400"),
        (b"\n\n", "-", "400"),
    ],
)
def test_the_request_line_as_far_as_it_is_known(refuse, sent, line, status):
    log = refuse(sent)
    [(resp, req, environ, took)] = log.seen
    assert compile_format("%(h)s|%(r)s|%(s)s|%(b)s")(resp, req, environ, took) == (
        f"127.0.0.1|{line}|{status}|0"
    )
    assert len(log.lines) == 1
    assert log.lines[0][0] == "warning"
    assert log.lines[0][1].startswith("Invalid request from ip=127.0.0.1: ")


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        (b"", "-"),
        (b"GET", "-"),
        (b"GET /a", "GET /a... -"),
        (b"GET /a HTTP/1.1\r\nHos", "GET /a HTTP/1.1"),
        (b"POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nab", "POST /a HTTP/1.1"),
    ],
)
def test_the_request_line_of_a_request_that_took_too_long(refuse, sent, line):
    [(resp, req, environ, took)] = refuse(sent, RequestTimeout()).seen
    assert compile_format("%(r)s %(s)s")(resp, req, environ, took) == f"{line} 408"


def test_what_loggers_are_given_looks_like_any_request(refuse):
    [(resp, req, environ, took)] = refuse(b"GET /a?b=c HTTP/1.1\r\nBad Name: x\r\n\r\n").seen
    assert (resp.status, resp.status_code, resp.sent) == ("400 Bad Request", 400, 0)
    assert (resp.headers, resp.headers_sent) == ([("Content-Type", "text/html")], True)
    assert resp.response_length is None
    assert (resp.chunked, resp.upgrade) == (False, False)
    assert resp.version == "cyserve"
    assert resp.should_close()
    assert req.should_close()
    assert (req.method, req.uri, req.path, req.query, req.fragment) == (
        "GET",
        "/a?b=c",
        "/a",
        "b=c",
        "",
    )
    assert (req.headers, req.trailers, req.body.read()) == ([], [], b"")
    assert (req.scheme, req.remote_addr, req.version) == ("http", ("127.0.0.1", 4711), (1, 1))
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/a", "b=c")
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert took.total_seconds() == 0


def test_a_parsed_request_is_shown_whole(refuse):
    sent = b"POST /a HTTP/1.1\r\nHost: h\r\nUser-Agent: curl\r\nContent-Length: 9\r\n\r\n"
    [(_, req, environ, _)] = refuse(sent, RequestTimeout()).seen
    assert req.headers[1] == ("USER-AGENT", "curl")
    assert environ["HTTP_USER_AGENT"] == "curl"


def test_the_line_of_the_own_logger(refuse, tmp_path):
    with own_logging():
        path = tmp_path / "access"
        log = glogging.Logger(settings(accesslog=str(path), errorlog=str(tmp_path / "error")))
        for sent in (b"GET / HTTP/1.1\r\nBad Name: x\r\n\r\n", b"\n\n"):
            refuse(sent, log=log, address="")
        log.access_log.filters.append(lambda record: True)  # the long way
        refuse(b"\n\n", log=log)
        lines = path.read_text().splitlines()
    assert [line.partition("] ")[2] for line in lines] == [
        '"GET / HTTP/1.1" 400 0 "-" "-"',
        '"-" 400 0 "-" "-"',
        '"-" 400 0 "-" "-"',
    ]
    assert "%(r)s" in DEFAULT


def test_a_worker_that_leaves_calls_no_request_invalid(refuse):
    log = refuse(b"GET / HTTP/1.1\r\n\r\n", ServiceUnavailable())
    assert log.lines == [
        ("warning", "Request from ip=127.0.0.1 not served: the worker is stopping")
    ]
    assert log.seen[0][0].status == "503 Service Unavailable"


def test_a_logger_that_raises_ends_nothing(refuse):
    class Broken(AccessLog):
        def access(self, resp, req, environ, request_time):
            raise KeyError(environ["wsgi.nothing"])

    log = refuse(b"\n\n", log=Broken())
    assert [level for level, _ in log.lines] == ["warning", "debug"]


def test_without_an_access_log_nothing_is_made_for_it(kernel):
    peer = Peer(b"")
    refusal.report(peer.connection, RequestTimeout())
    assert len(peer.log.lines) == 1
    peer.close()
