"""Requests and responses without a worker: `http.parser`, `http.unreader` and `http.wsgi`.

What is expected was compared with gunicorn 27.0.1, see tests/compat/test_public_names.py.
"""

import io
import socket

import pytest

from cyserve import http
from cyserve.config import Config
from cyserve.http import errors, message, wsgi
from cyserve.http.parser import Parser, RequestParser
from cyserve.http.unreader import IterUnreader, SocketUnreader, Unreader

PEER = ("1.2.3.4", 5)
GET = b"GET /a%20b?c=d#e HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n"
POST = b"POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
CHUNKED = (
    b"POST /3 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n0\r\nT: u\r\n\r\n"
)
LAST = b"GET /4 HTTP/1.0\r\n\r\n"

pytestmark = pytest.mark.usefixtures("kernel")


@pytest.fixture
def cfg(clean_env):
    return Config()


@pytest.fixture
def pair():
    one, other = socket.socketpair()
    one.settimeout(10)
    other.settimeout(10)
    with one, other:
        yield one, other


def test_a_request(cfg):
    [req] = RequestParser(cfg, [GET], PEER)
    assert (req.method, req.uri, req.path) == ("GET", "/a%20b?c=d#e", "/a%20b")
    assert (req.query, req.fragment, req.version) == ("c=d", "e", (1, 1))
    assert req.headers == [("HOST", "x"), ("A", "b")]
    assert type(req.headers) is list
    assert (req.scheme, req.peer_addr, req.remote_addr, req.req_number) == ("http", PEER, PEER, 1)
    assert (req.proxy_protocol_info, req.should_close(), req.trailers) == (None, False, [])
    assert req.body.read() == b""
    assert req.cfg is cfg
    assert isinstance(req, http.Request)
    assert isinstance(req, message.Message)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_requests_in_pieces_of_any_size(cfg, size):
    data = GET + POST + CHUNKED + LAST + GET  # nothing follows an HTTP/1.0 request
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    parser = http.get_parser(cfg, pieces, "")
    found = [(r.uri, r.body.read(), r.trailers, r.req_number) for r in parser]
    assert found == [
        ("/a%20b?c=d#e", b"", [], 1),
        ("/2", b"abc", [], 2),
        ("/3", b"abc", [("T", "u")], 3),
        ("/4", b"", [], 4),
    ]


def test_requests_from_a_socket(cfg, pair):
    one, other = pair
    parser = RequestParser(cfg, one, PEER)
    other.sendall(POST[:-1])
    req = parser.next()
    other.sendall(POST[-1:] + GET)
    assert req.body.read() == b"abc"
    assert next(parser).path == "/a%20b"
    other.close()
    assert list(parser) == []


def test_a_client_that_waits_to_be_told(cfg, pair):
    one, other = pair
    other.sendall(POST[:-3].replace(b"Host", b"Expect: 100-continue\r\nHost"))
    req = next(RequestParser(cfg, one, PEER))
    other.setblocking(False)
    with pytest.raises(BlockingIOError):
        other.recv(1)
    other.sendall(b"ab")
    assert req.body.read(2) == b"ab"
    assert other.recv(99) == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_bodies_that_nobody_reads_are_passed_over(cfg):
    parser = RequestParser(cfg, [POST, CHUNKED, LAST], PEER)
    assert [req.uri for req in parser] == ["/2", "/3", "/4"]


def test_finish_body(cfg):
    large = b"POST / HTTP/1.1\r\nContent-Length: 30000\r\n\r\n" + b"x" * 30000
    parser = RequestParser(cfg, [large, GET], PEER)
    assert parser.finish_body() is True  # nothing has come yet
    req = next(parser)
    assert parser.finish_body(max_bytes=10000) is False
    assert parser.finish_body(deadline=0.0) is False
    assert parser.finish_body() is True
    assert req.body.read() == b""
    assert next(parser).method == "GET"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"GET /\r\n\r\n", errors.InvalidRequestLine),
        (b"GET / HTTP/1.1\r\nA b\r\n\r\n", errors.InvalidHeader),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n", errors.LimitRequestHeaders),
        (b"GET / HTTP/1.1\r\nExpect: x\r\n\r\n", errors.ExpectationFailed),
        (b"GET / HT", errors.NoMoreData),
        (b"GET / HTTP/1.1\r\nHo", errors.NoMoreData),
        (POST[:-1], errors.NoMoreData),
        (CHUNKED[:-9], errors.NoMoreData),
    ],
)
def test_no_request(cfg, data, error):
    with pytest.raises(error):
        [req.body.read() for req in RequestParser(cfg, [data], PEER)]


def test_settings_hold_as_in_a_worker(cfg):
    cfg.set("client_max_body_size", 2)
    with pytest.raises(errors.ContentTooLarge):
        next(RequestParser(cfg, [POST], PEER))
    cfg.set("client_max_body_size", 0)
    forwarded = GET.replace(b"A: b", b"X-Forwarded-Proto: https")
    assert next(RequestParser(cfg, [forwarded], ("127.0.0.1", 1))).scheme == "https"
    assert next(RequestParser(cfg, [forwarded], PEER)).scheme == "http"


LINE = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"


def test_proxy_protocol(cfg):
    cfg.set("proxy_protocol", True)
    pieces = [bytes([byte]) for byte in LINE] + [GET, GET]
    one, other = RequestParser(cfg, pieces, ("127.0.0.1", 1))
    assert one.proxy_protocol_info == {
        "proxy_protocol": "TCP4",
        "client_addr": "192.168.0.1",
        "client_port": 56324,
        "proxy_addr": "192.168.0.11",
        "proxy_port": 443,
    }
    assert wsgi.proxy_environ(one)["REMOTE_ADDR"] == "192.168.0.1"
    assert wsgi.proxy_environ(other) == wsgi.proxy_environ(one)  # said once for the connection
    with pytest.raises(errors.ForbiddenProxyRequest):
        next(RequestParser(cfg, [LINE + GET], PEER))
    assert next(RequestParser(cfg, [GET], PEER)).proxy_protocol_info is None
    with pytest.raises(errors.NoMoreData):
        next(RequestParser(cfg, [LINE[:9]], ("127.0.0.1", 1)))


def test_a_class_of_requests_of_ones_own(cfg):
    class Own(message.Request):
        def __init__(self, cfg, unreader, peer_addr, req_number=1):
            super().__init__(cfg, unreader, peer_addr, req_number)
            self.mark = f"{req_number} of {peer_addr[0]}"

    class OwnParser(Parser):
        mesg_class = Own

    marks = [req.mark for req in OwnParser(cfg, [POST, GET], PEER)]
    assert marks == ["1 of 1.2.3.4", "2 of 1.2.3.4"]


def test_a_request_from_an_unreader(cfg):
    req = message.Request(cfg, IterUnreader([POST + b"rest"]), PEER, req_number=3)
    assert (req.body.read(), req.unreader.read(), req.req_number) == (b"abc", b"rest", 3)
    assert req.must_close is False
    req.force_close()
    assert req.should_close()


def test_http2_is_not_there(cfg):
    with pytest.raises(RuntimeError, match="does not have HTTP/2"):
        http.get_parser(cfg, [b""], PEER, http2_connection=True)


def test_unreaders(pair):
    source = IterUnreader([b"abc", b"def", b"", b"ghi"])
    assert [source.read(2), source.read(), source.read(0)] == [b"ab", b"c", b""]
    assert [source.read(5), source.read(), source.read(-1)] == [b"def", b"ghi", b""]
    assert source.chunk() == b""
    source = IterUnreader([b"abc", b"def"])
    assert source.read(1) == b"a"
    source.unread(b"XY")
    assert source.read(3) == b"XYb"
    assert [source.take_buffered(), source.take_buffered()] == [b"c", b""]
    with pytest.raises(TypeError, match="size parameter"):
        source.read("x")
    with pytest.raises(NotImplementedError):
        Unreader().chunk()
    one, other = pair
    other.sendall(b"hello")
    other.close()
    source = SocketUnreader(one, 3)
    assert [source.chunk(), source.read(1), source.read()] == [b"hel", b"l", b"o"]
    assert source.read() == b""


# -- responses --


@pytest.fixture
def answer(cfg, pair):
    """Runs an application's part on the response to some bytes; what the client gets."""
    one, other = pair

    def run(act, data=GET, sock=None):
        req = next(RequestParser(cfg, [data], PEER))
        resp, environ = wsgi.create(req, sock or one, ("9.8.7.6", 1), ("h", 80), cfg)
        act(resp, environ)
        one.close()
        return io.BufferedReader(socket.SocketIO(other, "r")).read()

    return run


def own_fields(more=b""):
    return b"HTTP/1.1 200 OK\r\nServer: cyserve\r\nDate: D\r\nConnection: keep-alive\r\n" + more


def without_date(raw):
    return b"\r\n".join(
        b"Date: D" if line.startswith(b"Date: ") else line for line in raw.split(b"\r\n")
    )


def test_a_response_with_a_length(answer):
    def act(resp, environ):
        write = resp.start_response("200 OK", [("Content-Length", "2"), ("X", "y")])
        assert (resp.status, resp.status_code, resp.version) == ("200 OK", 200, "cyserve")
        assert resp.headers == [("Content-Length", "2"), ("X", "y")]
        assert (resp.headers_sent, resp.sent, resp.is_chunked()) == (False, 0, False)
        resp.write(b"o")
        write(b"k")
        resp.close()
        assert (resp.headers_sent, resp.sent, resp.response_length) == (True, 2, 2)
        assert not resp.should_close()

    assert without_date(answer(act)) == own_fields(b"Content-Length: 2\r\nX: y\r\n\r\nok")


def test_a_response_in_chunks(answer):
    def act(resp, environ):
        resp.start_response("200 OK", [])
        assert resp.default_headers()[-1] == "Transfer-Encoding: chunked\r\n"
        assert resp.default_headers()[0] == "HTTP/1.1 200 OK\r\n"
        resp.send_headers()
        resp.send_headers()  # only once
        resp.write(b"abc")
        resp.write(b"")
        resp.close()

    expected = b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    assert without_date(answer(act)) == own_fields(expected)


def test_a_response_that_ends_with_its_connection(answer):
    def act(resp, environ):
        resp.start_response("200 OK", [])
        resp.write(b"abc")
        resp.close()
        assert resp.should_close()

    got = answer(act, LAST)
    assert got.startswith(b"HTTP/1.0 200 OK\r\n")
    assert got.endswith(b"\r\nConnection: close\r\n\r\nabc")


def test_fields_may_be_added_at_any_time(answer):
    def act(resp, environ):
        resp.headers.append(("A", "1"))
        resp.start_response("200 OK", [("B", "2"), ("Content-Length", "0")])
        resp.process_headers([("C", "3")])
        resp.headers.append(("D", "4"))
        resp.close()

    assert answer(act).endswith(b"A: 1\r\nB: 2\r\nContent-Length: 0\r\nC: 3\r\nD: 4\r\n\r\n")


@pytest.mark.parametrize("sendfile", [True, False])
@pytest.mark.parametrize("framing", [[("Content-Length", "7")], []])
def test_a_file(answer, cfg, tmp_path, sendfile, framing):
    (tmp_path / "file").write_bytes(b"0123456789")
    cfg.set("sendfile", sendfile)

    def act(resp, environ):
        with (tmp_path / "file").open("rb") as file:
            file.seek(3)
            resp.start_response("200 OK", framing)
            assert resp.can_sendfile() is sendfile
            resp.write_file(environ["wsgi.file_wrapper"](file))
            resp.close()

    got = answer(act)
    assert got.endswith(b"\r\n\r\n3456789" if framing else b"\r\n7\r\n3456789\r\n0\r\n\r\n")


def test_early_hints(answer):
    def act(resp, environ):
        environ["wsgi.early_hints"]([("Link", "</a>")])
        resp.start_response("200 OK", [("Content-Length", "0")])
        resp.close()

    assert answer(act).startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200")


@pytest.mark.parametrize("lines", [["X: y"], ["X: y\r\nZ\n", "\r\n"], ["X: y\n"]])
def test_default_headers_cannot_break_the_head(answer, monkeypatch, lines):
    monkeypatch.setattr(wsgi.Response, "default_headers", lambda self: lines)

    def act(resp, environ):
        resp.start_response("200 OK", [])
        with pytest.raises(ValueError, match="CRLF"):
            resp.close()

    assert answer(act) == b""


def test_a_socket_of_any_kind(answer):
    sent = []

    class Sink:
        def sendall(self, data):
            sent.append(bytes(data))

    def act(resp, environ):
        assert environ["gunicorn.socket"] is resp.sock
        resp.start_response("200 OK", [("Content-Length", "1")])
        resp.write(b"x")
        resp.close()

    answer(act, sock=Sink())
    assert b"".join(sent).endswith(b"\r\n\r\nx")


def test_a_response_needs_a_request(cfg):
    with pytest.raises(TypeError):
        wsgi.Response(None, None, cfg)


@pytest.mark.parametrize(
    ("client", "server", "expected"),
    [
        (("9.8.7.6", 1), ("h", 80), ("9.8.7.6", "1", "h", "80")),
        (("9.8.7.6", 1), "h:80", ("9.8.7.6", "1", "h", "80")),
        ("", "/run/x.sock", ("", None, "x", "80")),
    ],
)
def test_the_environ(cfg, client, server, expected):
    req = next(RequestParser(cfg, [GET], PEER))
    resp, environ = wsgi.create(req, None, client, server, cfg)
    names = ("REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT")
    assert tuple(map(environ.get, names)) == expected
    assert environ["PATH_INFO"] == "/a b"
    assert environ["wsgi.input"] is req.body
    assert (environ["HTTP_A"], environ["wsgi.multithread"]) == ("b", False)
    default = wsgi.default_environ(req, None, cfg)
    assert default.keys() <= environ.keys()
    assert (default["REQUEST_METHOD"], default["RAW_URI"]) == ("GET", "/a%20b?c=d#e")
    assert wsgi.base_environ(cfg).keys() <= default.keys()


def test_a_response_class_of_ones_own(cfg):
    class Own(wsgi.Response):
        def __init__(self, req, sock, cfg, mark):
            super().__init__(req, sock, cfg)
            self.mark = mark

    req = next(RequestParser(cfg, [GET], PEER))
    resp, _ = wsgi.create(req, None, PEER, PEER, cfg, Own, ("mine",))
    assert resp.mark == "mine"
    resp, _ = wsgi.create(req, None, PEER, PEER, cfg, lambda *args: "anything")
    assert resp == "anything"
