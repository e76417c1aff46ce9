"""Bodies of requests (big, chunked, read in every way, cut short) and responses (big, read slowly).

The body that is cut short matters most: an upload that lost its end must never look complete.
"""

import hashlib
import json
import random

import pytest
from harness import differs
from http_client import Client, chunked, request_bytes

SIZE = 10 << 20


def lines(size):
    """Lines of 0 to 2000 bytes, `size` bytes in all, the last one without a line end."""
    rng = random.Random(7)
    text = b"".join(b"%d " % n * rng.randrange(300) + b"\n" for n in range(size // 500))
    return text[: size - 1] + b"."


BIG = lines(SIZE)


def pieces_of(data, rng_seed=5):
    """The data in chunks of many sizes, among them the very small and the very large."""
    rng, start = random.Random(rng_seed), 0
    while start < len(data):
        size = rng.choice((1, 2, 100, 4095, 8192, 65536, 65537, 1_000_000))
        yield data[start : start + size]
        start += size


def upload(server, target, data, framing):
    with server.connect() as client:
        if framing == "length":
            client.send(request_bytes(target, "POST", body=data))
        else:
            client.send(request_bytes(target, "POST", [("Transfer-Encoding", "chunked")]))
            client.send(chunked(pieces_of(data)))
        response = client.read_response()
    assert response.status == 200
    return response


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize(
    "way", ["read", "sized-read", "readline", "sized-readline", "readlines", "iteration"]
)
def test_10_megabytes_up(http_server, way, framing):
    result = json.loads(upload(http_server, f"/by-{way}", BIG, framing).body)
    assert result["length"] == SIZE
    assert result["sha256"] == hashlib.sha256(BIG).hexdigest()
    if way in ("readline", "readlines", "iteration"):
        assert result["pieces"] == BIG.count(b"\n") + 1


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [1, 8191, 8192, 65535, 65536, 65537, 131_072])
def test_bodies_around_the_buffer_sizes(http_server, size, framing):
    data = BIG[:size]
    assert upload(http_server, "/echo", data, framing).body == data


def test_no_body_reads_as_empty(http_server):
    assert http_server.request("/echo").body == b""
    assert http_server.request("/echo", "POST").body == b""
    with http_server.connect() as client:
        client.send(b"POST /echo HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        assert client.read_response().status == 200


def test_rules_of_input_methods(http_server):
    response = http_server.request("/input-rules", "POST", body=b"abcdef\nghi\njkl")
    assert response.body == (
        b'{"read(0)": "", "read(3)": "abc", "readline(2)": "de", "readline(0)": "", '
        b'"readline(-1)": "f\\n", "read(-1)": "ghi\\njkl", "read(None)": "", '
        b'"read(\'1\')": "TypeError"}'
    )


def test_a_read_never_passes_the_end_of_the_body(http_server):
    with http_server.connect() as client:
        client.send(request_bytes("/echo", "POST", body=b"body") + b"GET /ok HTTP/1.1\r\n\r\n")
        assert client.read_response().body == b"body"


# -- bodies cut short --

CUT = {
    "length, small": request_bytes("/record-read", "POST", body=b"x" * 100)[:-90],
    "length, nothing came": request_bytes("/record-read", "POST", body=b"x" * 100)[:-100],
    "length, large": request_bytes("/record-read", "POST", body=b"x" * 300_000)[:-1],
    "chunked, small": request_bytes("/record-read", "POST", [("Transfer-Encoding", "chunked")])
    + b"5\r\nhello\r\n",
    "chunked, in a chunk": request_bytes("/record-read", "POST", [("Transfer-Encoding", "chunked")])
    + b"64\r\nhello",
    "chunked, large": request_bytes("/record-read", "POST", [("Transfer-Encoding", "chunked")])
    + b"493e0\r\n"
    + b"x" * 299_999,
    "chunked, in the last chunk": request_bytes(
        "/record-read", "POST", [("Transfer-Encoding", "chunked")]
    )
    + b"5\r\nhello\r\n0\r\n",
}


@differs("body-cut-short")
@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("how", ["half close", "close", "reset"])
def test_a_body_cut_short_never_looks_complete(http_server, name, how):
    http_server.request("/events")
    client = http_server.connect().send(CUT[name])
    if how == "half close":
        client.finish_sending()
        answer = client.read_to_eof()
        assert not answer.startswith(b"HTTP/1.1 2"), answer
        client.sock.close()
    elif how == "close":
        client.sock.close()
    else:
        client.reset()
    events = http_server.request("/events").body
    # Small bodies are gathered before the application is called, so it may never be called.
    assert events in (b"[]", b'["called", "OSError"]')
    if "large" in name and how == "half close":
        assert events == b'["called", "OSError"]'


# -- response bodies --


def test_10_megabytes_in_one_item(http_server):
    response = http_server.request("/big-item")
    assert response.body == b"0123456789abcdef" * (SIZE // 16)


def test_10_megabytes_from_a_generator(http_server):
    response = http_server.request("/big-generator")
    assert response.header("Transfer-Encoding") == "chunked"
    assert len(response.body) == SIZE
    assert response.body == b"".join(b"%07d\n" % number * 1280 for number in range(1024))
    assert len(response.chunks) == 1024  # an item is a chunk


@pytest.mark.parametrize("target", ["/big-item", "/big-generator"])
def test_a_slow_reader_gets_everything(http_server, target):
    expected = http_server.request(target).body
    with Client(http_server.address, receive_buffer=4096) as client:
        client.send(request_bytes(target))
        received = [client.sock.recv(1000) for _ in range(500)]
        client.buffer = b"".join(received)
        assert client.read_response().body == expected
