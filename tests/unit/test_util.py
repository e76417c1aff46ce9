"""`cyserve.util`: what gunicorn's users import from theirs. Values are those of gunicorn 27.0.1."""

import io
import os
import socket
import sys
from urllib.parse import SplitResult

import pytest

from cyserve import util, workers


@pytest.fixture
def pair():
    one, other = socket.socketpair()
    other.settimeout(10)
    with one, other:
        yield one, other


def received(sock):
    return io.BufferedReader(socket.SocketIO(sock, "r")).read()


def test_dates():
    assert util.http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert util.http_date(1.9) == "Thu, 01 Jan 1970 00:00:01 GMT"
    assert util.http_date().endswith(" GMT")


def test_fields_of_one_hop():
    assert util.is_hoppish(" Connection ")
    assert util.is_hoppish("SERVER")
    assert not util.is_hoppish("X")
    assert "upgrade" in util.hop_headers


def test_text_and_bytes():
    assert util.to_bytestring("é") == "é".encode()
    assert util.to_bytestring("é", "latin-1") == b"\xe9"
    assert util.to_bytestring(b"x") == b"x"
    assert util.bytes_to_str(b"\xe9") == util.bytes_to_str("é") == "é"
    assert util.unquote_to_wsgi_str("/a%20%C3%A9%zz") == "/a \xc3\xa9%zz"
    for function in (util.to_bytestring, util.bytes_to_str):
        with pytest.raises(TypeError):
            function(3)


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("/a?b#c", ("", "", "/a", "b", "c")),
        ("//a/b?c", ("", "", "//a/b", "c", "")),
        ("///x", ("", "", "///x", "", "")),
        ("http://h:80/x?y#z", ("http", "h:80", "/x", "y", "z")),
        ("*", ("", "", "*", "", "")),
    ],
)
def test_split_request_uri(uri, parts):
    assert util.split_request_uri(uri) == SplitResult(*parts)


def test_patterns():
    assert [util.is_glob_pattern(text) for text in ("a*", "a?", "a[b]", "a")] == [1, 1, 1, 0]


def test_users_and_random_numbers():
    assert util.get_username(0) == "root"
    with pytest.raises(KeyError):
        util.get_username(2**31 - 7)
    util.seed()


def test_files(tmp_path):
    path = str(tmp_path / "file")
    util.check_is_writable(path)
    assert os.path.exists(path)
    util.unlink(path)
    util.unlink(path)
    util.unlink(f"{tmp_path}/no/such")
    with pytest.raises(OSError, match="tmp|directory|permitted"):
        util.unlink(str(tmp_path))
    with pytest.raises(RuntimeError, match="isn't writable"):
        util.check_is_writable(f"{tmp_path}/no/such")


def test_has_fileno():
    with open(os.devnull) as file:
        assert util.has_fileno(file)
    assert not util.has_fileno(io.BytesIO())
    assert not util.has_fileno(1)


def test_warn(capsys):
    util.warn("one\ntwo")
    assert capsys.readouterr().err == "!!!\n!!! WARNING: one\n!!! two\n!!!\n\n"


def test_reraise():
    def fail():
        raise ZeroDivisionError("here")

    try:
        fail()
    except ZeroDivisionError:
        caught = sys.exc_info()
    with pytest.raises(ZeroDivisionError, match="here") as again:
        util.reraise(*caught)
    assert again.traceback[-1].name == "fail"
    with pytest.raises(ValueError, match=r"^$"):
        util.reraise(ValueError, None)


def test_make_fail_app():
    heard = []
    app = util.make_fail_app("é")
    assert app({}, lambda *args: heard.append(args)) == ["é".encode()]
    fields = [("Content-Type", "text/plain"), ("Content-Length", "2")]
    assert heard == [("500 Internal Server Error", fields)]


def test_entry_points():
    assert callable(util.load_entry_point("pytest", "console_scripts", "pytest"))
    with pytest.raises(ImportError, match="Entry point"):
        util.load_entry_point("pytest", "console_scripts", "nope")


def test_names_of_other_rooms():
    assert util.SUPPORTED_WORKERS is workers.SUPPORTED_WORKERS
    assert util.load_class("sync").__name__ == "SyncWorker"
    assert util.parse_address("h", "99") == ("h", 99)
    with pytest.raises(AttributeError):
        util.nope  # noqa: B018


def test_writing(pair):
    one, other = pair
    one.settimeout(5)
    util.write(one, b"abc")
    util.write(one, b"abcdefghijk", chunked=True)
    util.write_chunk(one, "aé")
    util.write_chunk(one, b"")
    util.write_nonblock(one, b"x", chunked=True)
    assert one.gettimeout() == 5
    one.setblocking(False)
    util.write_nonblock(one, b"y")
    assert one.gettimeout() == 0
    with pytest.raises(BlockingIOError):
        util.write_nonblock(one, b"x" * 10_000_000)
    one.close()
    expected = "abcB\r\nabcdefghijk\r\n3\r\naé\r\n0\r\n\r\n1\r\nx\r\ny"
    assert received(other).startswith(expected.encode())


def test_write_error(pair):
    one, other = pair
    util.write_error(one, 400, "Bad Request", "<'&é")
    one.close()
    head, _, page = received(other).partition(b"\r\n\r\n")
    assert head == (
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/html\r\n"
        b"Content-Length: %d" % len(page)
    )
    assert b"    &lt;&#x27;&amp;\xe9\n" in page


def test_close_gracefully(pair):
    one, other = pair
    one.sendall(b"answer")
    other.sendall(b"x" * 1000)  # unread, it would make the system reset the connection
    other.shutdown(socket.SHUT_WR)
    util.close_graceful(one)
    assert one.fileno() == -1
    assert received(other) == b"answer"
    util.close_graceful(one)
    util.close(one)


@pytest.mark.parametrize(("sent", "most"), [(0, 65536), (100_000, 65536)])
def test_a_close_does_not_wait_for_ever(pair, sent, most):
    one, other = pair
    other.sendall(b"x" * sent)
    util.close_graceful(one, timeout=0.01, max_drain=most)
    assert one.fileno() == -1
