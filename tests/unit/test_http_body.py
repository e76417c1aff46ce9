"""wsgi.input: every way of reading, bodies cut short, chunks, and pieces that trickle in."""

import io
import os
import socket
import threading

import pytest
from http_helpers import Peer

from cyserve._errors import ContentTooLarge, InvalidChunkSize, NoMoreData, RequestTimeout
from cyserve.http.body import Body
from cyserve.http.connection import CLOSE, READ, RUN
from cyserve.http.transport import PollWaiter

CONTENT = b"first line\nsecond\n\nlast without end"


def request(body=CONTENT, length=None):
    length = len(body) if length is None else length
    return b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % length + body


def chunked(*pieces, trailer=b""):
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return head + chunks + b"0\r\n" + trailer + b"\r\n"


@pytest.fixture(params=["sized", "chunked"])
def body(request_bytes, kernel):
    peer = Peer(request_bytes)
    assert peer.connection.proceed(0.0) == RUN
    yield peer.connection.request.body
    peer.close()


@pytest.fixture(params=["sized", "chunked"])
def request_bytes(request):
    return globals()["request"]() if request.param == "sized" else chunked(CONTENT[:7], CONTENT[7:])


@pytest.fixture
def peer(kernel):
    peers = []

    def make(*args, **kwargs):
        peers.append(Peer(*args, **kwargs))
        return peers[-1]

    yield make
    for each in peers:
        each.close()


@pytest.mark.parametrize("size", [None, -1, len(CONTENT), len(CONTENT) + 10])
def test_read_all(body, size):
    assert body.read(size) == CONTENT
    assert body.read() == b""


def test_read_nothing(body):
    assert body.read(0) == b""
    assert body.readline(0) == b""
    assert body.read() == CONTENT


def test_read_returns_the_size_asked_for(body):
    assert [body.read(9), body.read(1), body.read(1000)] == [
        CONTENT[:9],
        CONTENT[9:10],
        CONTENT[10:],
    ]


def test_lines(body):
    assert body.readlines() == CONTENT.splitlines(keepends=True)


def test_iteration(body):
    assert list(body) == CONTENT.splitlines(keepends=True)


def test_readline_with_a_bound(body):
    assert body.readline(5) == b"first"
    assert body.readline(100) == b" line\n"
    assert body.read() == CONTENT[11:]


def test_read_after_readline(body):
    assert body.readline() == b"first line\n"
    assert body.read(3) == b"sec"
    assert body.readline() == b"ond\n"


@pytest.mark.parametrize("size", ["5", 1.5, b"1"])
def test_size_must_be_an_integer(body, size):
    with pytest.raises(TypeError):
        body.read(size)


def test_a_sized_body_ends_where_it_says(peer):
    peer = peer(request(b"12345") + b"GET /next HTTP/1.1\r\n\r\n")
    assert peer.connection.proceed(0.0) == RUN
    assert peer.connection.request.body.read() == b"12345"
    assert peer.connection.request.body.reader.skip_received()


def test_trailers(peer):
    peer = peer(chunked(b"x", trailer=b"Checksum: 7\r\n"))
    assert peer.connection.proceed(0.0) == RUN
    req = peer.connection.request
    assert req.body.read() == b"x"
    assert req.trailers == [("CHECKSUM", "7")]


def test_small_body_is_gathered_before_the_request_is_ready(peer):
    data = request()
    peer = peer(data[:-5])
    assert peer.connection.proceed(0.0) == READ
    peer.client.sendall(data[-5:])
    assert peer.connection.proceed(0.0) == RUN


def test_large_body_is_not_gathered(peer):
    peer = peer(request(b"x" * 200, length=1000), client_body_buffer_size=100)
    assert peer.connection.proceed(0.0) == RUN


@pytest.mark.parametrize("sent", [request(b"123", length=10), chunked(b"12345")[:-3]])
def test_small_body_cut_short_never_reaches_the_application(peer, sent):
    peer = peer(sent)
    assert peer.connection.proceed(0.0) == READ
    peer.client.shutdown(1)
    assert peer.connection.proceed(0.0) == CLOSE
    assert peer.received().startswith(b"HTTP/1.1 400 ")
    assert len(peer.log.lines) == 1


@pytest.mark.parametrize(
    "sent", [request(b"x" * 200, length=1000), chunked(b"x" * 200, b"x" * 800)[:-3]]
)
def test_large_body_cut_short_raises(peer, sent):
    peer = peer(sent, client_body_buffer_size=100)
    assert peer.connection.proceed(0.0) == RUN
    peer.client.shutdown(1)
    body = peer.connection.request.body
    with pytest.raises(NoMoreData):
        body.read()
    assert body.failed
    assert isinstance(NoMoreData(), OSError)


def test_malformed_chunk_raises(peer):
    peer = peer(chunked(b"x" * 200)[:-5] + b"zz\r\n", client_body_buffer_size=100)
    assert peer.connection.proceed(0.0) == RUN
    with pytest.raises(InvalidChunkSize):
        peer.connection.request.body.read()


def test_slow_body_times_out(peer):
    peer = peer(request(b"x" * 200, length=1000), client_body_buffer_size=100)
    assert peer.connection.proceed(0.0) == RUN
    with pytest.raises(RequestTimeout):  # the waiter of these tests never waits
        peer.connection.request.body.read()


def test_body_that_trickles_in_while_it_is_read(peer):
    content = bytes(range(256)) * 40
    sent = request(content)
    peer = peer(sent[:300], client_body_buffer_size=100)
    peer.transport.waiter = PollWaiter(lambda: None)
    assert peer.connection.proceed(0.0) == RUN

    def trickle():
        for at in range(300, len(sent), 1000):
            peer.client.sendall(sent[at : at + 1000])

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        assert peer.connection.request.body.read() == content
    finally:
        thread.join()


def sent_in_pieces(peer, sent, size):
    def send():
        for at in range(0, len(sent), size):
            peer.client.sendall(sent[at : at + size])

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.parametrize(
    "made", [request, lambda content: chunked(content[:99_999], content[99_999:])]
)
@pytest.mark.parametrize("size", [1000, 8192, 16_384, 100_000, None])
def test_large_reads_of_a_body_that_comes_while_it_is_read(peer, made, size):
    content = os.urandom(300_000)
    sent = made(content)
    peer = peer(sent[:300], client_body_buffer_size=100)
    peer.transport.waiter = PollWaiter(lambda: None)
    assert peer.connection.proceed(0.0) == RUN
    body = peer.connection.request.body
    thread = sent_in_pieces(peer, sent[300:] + b"GET /next", 7777)
    try:
        pieces = list(iter(lambda: body.read(size), b""))
    finally:
        thread.join()
    assert b"".join(pieces) == content
    assert {len(piece) for piece in pieces[:-1]} <= {size}
    assert peer.connection.request.body.reader.skip_received()


def test_lines_between_large_reads(peer):
    content = b"".join(b"line %d\n" % number for number in range(9000))
    peer = peer(request(content)[:200], client_body_buffer_size=10)
    peer.transport.waiter = PollWaiter(lambda: None)
    assert peer.connection.proceed(0.0) == RUN
    thread = sent_in_pieces(peer, request(content)[200:], 5000)
    body = peer.connection.request.body
    try:
        got = body.readline() + body.read(20_000) + body.readline() + body.read(10) + body.read()
    finally:
        thread.join()
    assert got == content


@pytest.mark.parametrize("cut", [200, 20_000])
def test_a_large_read_of_a_body_cut_short(peer, cut):
    peer = peer(request(b"x" * cut, length=50_000), client_body_buffer_size=100)
    assert peer.connection.proceed(0.0) == RUN
    peer.client.shutdown(1)
    body = peer.connection.request.body
    with pytest.raises(NoMoreData):
        body.read(50_000)
    assert body.failed


def test_a_client_that_waits_is_asked_before_a_large_read(peer):
    sent = request(b"", length=9000).replace(b"Host", b"Expect: 100-continue\r\nHost")
    peer = peer(sent, client_body_buffer_size=100)
    assert peer.connection.proceed(0.0) == RUN
    asked = []
    peer.transport.waiter = waiter = PollWaiter(lambda: None)

    def answer(fd, seconds):
        asked.append(peer.client.recv(100))
        peer.client.sendall(b"y" * 9000)
        return True

    waiter.readable = answer
    assert peer.connection.request.body.read(9000) == b"y" * 9000
    assert asked == [b"HTTP/1.1 100 Continue\r\n\r\n"]


# -- client_max_body_size --


def test_a_declared_length_over_the_limit_is_refused_before_its_body(peer):
    peer = peer(request(b"", length=101), client_max_body_size=100)
    assert peer.connection.proceed(0.0) == READ  # what it sends is dropped
    assert peer.received().startswith(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n")
    assert peer.log.lines == [
        ("warning", "Invalid request from ip=127.0.0.1: Request body is too large (101 > 100)")
    ]


@pytest.mark.parametrize("size", [0, 100])
def test_a_body_within_the_limit(peer, size):
    content = b"x" * size
    for sent in (request(content), chunked(content[:50], content[50:]) if size else chunked()):
        connection = peer(sent, client_max_body_size=100).connection
        assert connection.proceed(0.0) == RUN
        assert connection.request.body.read() == content


def test_a_client_that_asks_before_it_sends_too_much_is_not_asked_for_it(peer):
    sent = request(b"", length=101).replace(b"Host", b"Expect: 100-continue\r\nHost")
    peer = peer(sent, client_max_body_size=100)
    assert peer.connection.proceed(0.0) == READ  # what it sends is dropped
    assert peer.received().startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_that_grows_over_the_limit_while_gathered(peer):
    sent = chunked(b"x" * 60, b"y" * 41)
    peer = peer(sent[:-20], client_max_body_size=90)
    assert peer.connection.proceed(0.0) == READ
    peer.client.sendall(sent[-20:])
    assert peer.connection.proceed(0.0) == READ  # what it sends is dropped
    assert peer.received().startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_that_grows_over_the_limit_while_read(peer):
    peer = peer(
        chunked(b"x" * 100, b"y" * 100), client_body_buffer_size=50, client_max_body_size=150
    )
    assert peer.connection.proceed(0.0) == RUN
    body = peer.connection.request.body
    assert body.read(100) == b"x" * 100
    with pytest.raises(ContentTooLarge) as caught:
        body.read()
    assert caught.value.max_size == 150
    assert body.failed
    peer.connection.finish_request()
    assert peer.connection.unread


def test_a_body_kept_after_the_end_reads_nobody_elses_bytes(peer):
    kept = peer(request(b"abc", length=100_000), client_body_buffer_size=3)
    assert kept.connection.proceed(0.0) == RUN
    body = kept.connection.request.body
    number = kept.transport.fd
    ours, theirs = socket.socketpair()
    kept.transport.close()
    with ours, theirs:
        theirs.send(b"the next client's secret")
        os.dup2(ours.fileno(), number)  # the next connection gets the number
        try:
            assert body.read(3) == b"abc"
            with pytest.raises(NoMoreData):
                body.read(6)
        finally:
            os.close(number)


def test_a_client_that_may_still_be_sending_is_lingered_over(peer):
    unread = peer(chunked(b"hello")[:-5], client_body_buffer_size=5)
    assert unread.connection.proceed(0.0) == RUN
    unread.connection.finish_request()
    assert unread.connection._must_linger()

    read = peer(chunked(b"hello"))
    assert read.connection.proceed(0.0) == RUN
    read.connection.finish_request()
    assert not read.connection._must_linger()


@pytest.mark.parametrize(
    ("head", "more", "lingers"),
    [
        (b"HTTP/1.1\r\nHost: h", b"", False),
        (b"HTTP/1.1\r\nHost: h", b"GET", True),
        (b"HTTP/1.1\r\nHost: h\r\nConnection: close", b"GET", False),  # its own word was another
        (b"HTTP/1.0", b"GET", False),
        (b"HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0", b"GET", False),
        (b"HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 1", b"xGET", True),
    ],
)
def test_one_that_has_asked_for_the_end_is_not_expected_to_send_more(peer, head, more, lingers):
    asking = peer(b"GET / " + head + b"\r\n\r\n")
    connection = asking.connection
    if b"Length: 1" in head:
        assert connection.proceed(0.0) == READ
        asking.client.sendall(more[:1])
        more = more[1:]
    assert connection.proceed(0.0) == RUN
    asking.client.sendall(more)
    connection.finish_request()
    assert connection._must_linger() == lingers


def test_one_that_has_asked_for_the_end_and_sent_more_at_once_is_lingered_over(peer):
    asking = peer(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n\r\n")
    assert asking.connection.proceed(0.0) == RUN
    asking.connection.finish_request()
    assert asking.connection._must_linger()


def test_a_rest_that_is_malformed_ends_the_connection(peer):
    bad = peer(chunked(b"hello")[:-5] + b"nonsense\r\n", client_body_buffer_size=5)
    connection = bad.connection
    assert connection.proceed(0.0) == RUN
    connection.keep = True
    connection.finish_request()
    assert not connection.keep


def test_a_body_that_users_make_otherwise(peer, monkeypatch):
    made = []
    begin = Body.__init__

    def init(self, reader):
        begin(self, reader)
        made.append(self)

    monkeypatch.setattr(Body, "__init__", init)
    connection = peer(request(b"12345")).connection
    assert connection.proceed(0.0) == RUN
    assert made == [connection.request.body]
    assert made[0].read() == b"12345"


def test_what_is_kept_with_one_body_is_not_found_on_the_next(peer):
    peer = peer(2 * request(b"12345"))
    assert peer.connection.proceed(0.0) == RUN
    body = peer.connection.request.body
    body.mark = "an attribute of the user's"
    del body
    peer.connection.keep = True
    peer.connection.finish_request()
    assert peer.connection.answered(0.0) == RUN
    assert vars(peer.connection.request.body).get("mark") is None


@pytest.mark.parametrize("make", [request, chunked])
def test_a_body_that_users_have_exchanged_ends_the_connection(peer, make):
    connection = peer(make(b"12345")).connection
    assert connection.proceed(0.0) == RUN
    connection.request.body = io.BytesIO(b"other bytes")
    connection.keep = True
    connection.finish_request()
    assert connection.unread
    assert not connection.keep


def test_a_bound_that_is_not_reached_costs_no_further_receiving(peer):
    """With Content-Length the end is known; asking for more must not touch the connection."""
    peer = peer(request(b"12345"))
    assert peer.connection.proceed(0.0) == RUN
    body = peer.connection.request.body
    peer.transport.close()
    assert [body.read(3), body.read(100), body.read(100)] == [b"123", b"45", b""]
    assert not body.failed
