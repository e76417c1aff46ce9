"""Framing, fields and bodies of responses: the exact bytes on the wire."""

import io
import re

import pytest
from http_helpers import Peer

from cyserve._errors import InvalidResponseHeader
from cyserve.http.connection import RUN
from cyserve.http.environ import FileWrapper
from cyserve.http.response import Response

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
TEXT = ("Content-Type", "text/plain")


@pytest.fixture
def respond(kernel):
    """respond(request) -> (peer, response); peers are closed in the end."""
    peers = []

    def make(request=GET, **changes):
        peer = Peer(request, **changes)
        peers.append(peer)
        assert peer.connection.proceed(0.0) == RUN
        return peer, Response(peer.connection.request, peer.transport.sock, peer.cfg)

    yield make
    for peer in peers:
        peer.close()


def split(wire):
    """(status line, {lower-case name: value}, body)"""
    head, _, body = wire.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    return status, {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}, body


def test_order_of_fields_and_a_small_body(respond):
    peer, resp = respond()
    resp.start_response("200 OK", [TEXT, ("Content-Length", "5")])
    resp.write_iterable([b"hello"])
    resp.close()
    wire = peer.received()
    assert re.fullmatch(
        rb"HTTP/1.1 200 OK\r\nServer: cyserve\r\nDate: \w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT\r\n"
        rb"Connection: keep-alive\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
        wire,
    )
    assert resp.sent == 5
    assert not resp.closes


def test_without_a_length_the_body_is_chunked(respond):
    peer, resp = respond()
    resp.start_response("200 OK", [TEXT])
    resp.write_iterable(iter([b"ab", b"", b"x" * 26]))
    resp.close()
    status, fields, body = split(peer.received())
    assert fields["transfer-encoding"] == "chunked"
    assert body == b"2\r\nab\r\n1A\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n"


def test_http_1_0_ends_with_the_connection(respond):
    peer, resp = respond(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    resp.start_response("200 OK", [TEXT])
    resp.write_iterable([b"ab"])
    resp.close()
    status, fields, body = split(peer.received())
    assert status == "HTTP/1.0 200 OK"
    assert fields["connection"] == "close"
    assert body == b"ab"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_no_body_belongs_to_some_answers(respond, status):
    peer, resp = respond()
    resp.start_response(status, [("Content-Length", "5")])
    resp.write_iterable([b"hello"])
    resp.close()
    _, fields, body = split(peer.received())
    assert body == b""
    assert ("content-length" in fields) == (status[:3] == "304")
    assert "transfer-encoding" not in fields
    assert not resp.closes


def test_head_keeps_the_length_and_drops_the_body(respond):
    peer, resp = respond(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
    resp.start_response("200 OK", [("Content-Length", "5")])
    resp.write_iterable([b"hello"])
    resp.close()
    _, fields, body = split(peer.received())
    assert fields["content-length"] == "5"
    assert body == b""


def test_more_than_the_announced_length_is_dropped(respond):
    peer, resp = respond()
    resp.start_response("200 OK", [("Content-Length", "3")])
    resp.write_iterable(iter([b"ab", b"cdef", b"g"]))
    resp.close()
    assert split(peer.received())[2] == b"abc"
    assert not resp.closes


@pytest.mark.parametrize("size", [0, 5, 16_384, 16_385, 60_000])
def test_an_iterable_with_one_item_is_answered_as_a_list_is(respond, size):
    wires = []
    for make in (list, iter):
        peer, resp = respond()
        resp.start_response("200 OK", [TEXT, ("Content-Length", str(size))])
        resp.write_iterable(make([b"x" * size]))
        resp.close()
        status, fields, body = split(peer.received())
        fields.pop("date")
        wires.append((status, fields, body))
        assert (resp.sent, resp.closes, resp.finished) == (size, False, True)
    assert wires[0] == wires[1]


def test_a_whole_answer_is_sent_before_the_next_item_is_asked_for(respond):
    peer, resp = respond()
    seen = []

    def items():
        yield b"hello"
        seen.append(peer.client.recv(65536))
        assert resp.headers_sent
        assert not resp.finished
        yield b"more"

    resp.start_response("200 OK", [("Content-Length", "5")])
    resp.write_iterable(items())
    resp.close()
    assert split(seen[0])[2] == b"hello"
    assert peer.received() == b""
    assert resp.sent == 5
    assert resp.finished
    assert not resp.closes


def test_start_response_may_wait_for_the_first_item(respond):
    peer, resp = respond()

    def items():
        resp.start_response("200 OK", [("Content-Length", "5")])
        yield b"hello"

    resp.write_iterable(items())
    resp.close()
    assert split(peer.received())[2] == b"hello"


def test_an_iterable_that_fails_behind_a_whole_answer_has_not_finished(respond):
    peer, resp = respond()

    def items():
        yield b"hello"
        raise RuntimeError

    resp.start_response("200 OK", [("Content-Length", "5")])
    with pytest.raises(RuntimeError):
        resp.write_iterable(items())
    assert not resp.finished


def test_a_large_first_item_waits_for_a_slow_client(respond):
    peer, resp = respond()
    resp.send_timeout = 0.01
    size = 50_000_000
    resp.start_response("200 OK", [("Content-Length", str(size))])
    with pytest.raises(TimeoutError):
        resp.write_iterable(iter([b"x" * size]))
    assert peer.transport.broken


def test_less_than_the_announced_length_ends_the_connection(respond):
    peer, resp = respond()
    resp.start_response("200 OK", [("Content-Length", "10")])
    resp.write_iterable([b"ab"])
    resp.close()
    assert resp.closes


def test_an_empty_iterable_still_sends_the_head(respond):
    peer, resp = respond()
    resp.start_response("200 OK", [])
    resp.write_iterable([])
    resp.close()
    assert peer.received().endswith(b"\r\n\r\n0\r\n\r\n")


def test_the_application_may_close_the_connection(respond):
    peer, resp = respond()
    resp.start_response("200 OK", [("Connection", "close"), ("Content-Length", "0")])
    resp.close()
    assert split(peer.received())[1]["connection"] == "close"


def test_write_callable_sends_at_once(respond):
    peer, resp = respond()
    write = resp.start_response("200 OK", [("Content-Length", "4")])
    write(b"ab")
    assert peer.client.recv(1000).endswith(b"\r\n\r\nab")
    write(b"cd")
    assert peer.client.recv(1000) == b"cd"


def test_a_client_that_does_not_read_in_time_gets_no_more(respond):
    peer, resp = respond()
    write = resp.start_response("200 OK", [])
    with pytest.raises(TimeoutError):
        write(b"x" * 10_000_000)
    assert peer.transport.broken
    assert peer.transport.flush() == 0  # nothing is left that the loop would go on sending


def test_start_response_must_come_first(respond):
    _, resp = respond()
    with pytest.raises(AssertionError):
        resp.queue(b"body")


def test_start_response_twice(respond):
    _, resp = respond()
    resp.start_response("200 OK", [])
    with pytest.raises(AssertionError, match="Response headers already set!"):
        resp.start_response("200 OK", [])


def test_exc_info_replaces_the_head(respond):
    peer, resp = respond()
    resp.start_response("200 OK", [("X-Old", "1"), ("Content-Length", "7")])
    try:
        raise ValueError
    except ValueError as exc:
        resp.start_response("500 Oops", [("Content-Length", "1")], (ValueError, exc, None))
    resp.write_iterable([b"x"])
    resp.close()
    status, fields, _ = split(peer.received())
    assert status == "HTTP/1.1 500 Oops"
    assert "x-old" not in fields
    assert fields["content-length"] == "1"


def test_exc_info_after_the_head_is_sent_raises_it(respond):
    _, resp = respond()
    write = resp.start_response("200 OK", [])
    write(b"x")
    with pytest.raises(ZeroDivisionError):
        resp.start_response("500 Oops", [], (None, ZeroDivisionError(), None))


@pytest.mark.parametrize("item", ["text", None, 7, ["list"]])
def test_body_items_must_be_bytes(respond, item):
    _, resp = respond()
    resp.start_response("200 OK", [])
    with pytest.raises(TypeError, match="bytes"):
        resp.queue(item)


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\0b"])
def test_nothing_is_injected(respond, value):
    peer, resp = respond()
    with pytest.raises(InvalidResponseHeader):
        resp.start_response("200 OK", [("X-Name", value)])
    assert peer.received() == b""


def test_early_hints(respond):
    peer, resp = respond()
    hints = [("Link", "</a.css>; rel=preload"), (b"Link", b"</b.js>"), ("Content-Length", "5")]
    resp.early_hints(hints)
    assert peer.client.recv(1000) == (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nLink: </b.js>\r\n\r\n"
    )
    resp.start_response("200 OK", [("Content-Length", "0")])
    resp.close()
    resp.early_hints([("Link", "late")])
    assert b"late" not in peer.received()


def test_early_hints_are_not_for_http_1_0(respond):
    peer, resp = respond(b"GET / HTTP/1.0\r\n\r\n")
    resp.early_hints([("Link", "x")])
    assert peer.received() == b""


class TestFiles:
    """write_file: by sendfile where it works, else piece by piece."""

    @pytest.fixture
    def file(self, tmp_path):
        path = tmp_path / "file"
        path.write_bytes(b"0123456789" * 100)
        with path.open("rb") as file:
            yield file

    def test_the_whole_file(self, respond, file):
        peer, resp = respond()
        resp.start_response("200 OK", [("Content-Length", "1000")])
        wrapper = FileWrapper(file)
        assert resp.sendfile(wrapper)
        resp.close()
        wrapper.close()
        assert split(peer.received())[2] == b"0123456789" * 100
        assert resp.sent == 1000

    def test_from_the_offset_and_chunked(self, respond, file):
        peer, resp = respond()
        resp.start_response("200 OK", [])
        assert file.read(995) == b"0123456789" * 99 + b"01234"
        resp.write_file(FileWrapper(file))
        resp.close()
        assert split(peer.received())[2] == b"5\r\n56789\r\n0\r\n\r\n"

    def test_no_more_than_the_announced_length(self, respond, file):
        peer, resp = respond()
        resp.start_response("200 OK", [("Content-Length", "4")])
        resp.write_file(FileWrapper(file))
        resp.close()
        assert split(peer.received())[2] == b"0123"

    def test_no_more_than_what_is_left_of_it(self, respond, file):
        peer, resp = respond()
        resp.start_response("200 OK", [("Content-Length", "10")])(b"abcdefgh")
        resp.write_file(FileWrapper(file))
        resp.close()
        assert split(peer.received())[2] == b"abcdefgh01"

    def test_what_has_no_descriptor_is_iterated(self, respond):
        peer, resp = respond()
        resp.start_response("200 OK", [("Content-Length", "6")])
        resp.write_file(FileWrapper(io.BytesIO(b"abcdef"), 4))
        resp.close()
        assert split(peer.received())[2] == b"abcdef"

    def test_both_ways_of_iterating(self):
        assert list(FileWrapper(io.BytesIO(b"abcde"), 2)) == [b"ab", b"cd", b"e"]
        old_way = FileWrapper(io.BytesIO(b"abc"), 2)
        assert [old_way[0], old_way[1]] == [b"ab", b"c"]
        with pytest.raises(IndexError):
            old_way[2]

    def test_switched_off(self, respond, file):
        peer, resp = respond(sendfile=False)
        resp.start_response("200 OK", [("Content-Length", "1000")])
        assert not resp.sendfile(FileWrapper(file))

    def test_a_client_that_reads_slowly_gets_all_of_it(self, respond, tmp_path):
        content = bytes(range(256)) * 8192
        path = tmp_path / "big"
        path.write_bytes(content)
        peer, resp = respond()
        resp.start_response("200 OK", [("Content-Length", str(len(content)))])
        with path.open("rb") as file:
            resp.write_file(FileWrapper(file))
            resp.close()
        assert peer.transport.waiting
        wire = b""
        while peer.transport.waiting:
            wire += peer.client.recv(1 << 20)
            peer.transport.flush()
        assert split(wire + peer.received())[2] == content
