"""ChunkedDecoder: every amount of input and output, limits, and what comes before a fault."""

import random
from types import ModuleType
from typing import Any

import pytest

from cyserve._errors import (
    ChunkMissingTerminator,
    InvalidChunkExtension,
    InvalidChunkSize,
    LimitRequestHeaders,
)
from cyserve._grammar import CHUNK_LINE, MAX_CHUNK_EXTENSIONS

Kernel = tuple[ModuleType, ModuleType]


@pytest.fixture
def decoder(parser: ModuleType) -> Any:
    return parser.ChunkedDecoder(parser.HeadRules())


def test_no_input(decoder: Any, io: ModuleType) -> None:
    assert decoder.decode(io.InputBuffer(), 100) == b""
    assert not decoder.done
    assert decoder.trailers == []


def test_no_more_than_asked_for(decoder: Any, io: ModuleType) -> None:
    buffer = io.InputBuffer(b"6\r\nabcdef\r\n2\r\ngh\r\n0\r\n\r\n")
    assert decoder.decode(buffer, 4) == b"abcd"
    assert decoder.decode(buffer, 0) == b""
    assert decoder.decode(buffer, -1) == b""
    assert decoder.decode(buffer, 3) == b"efg"
    assert not decoder.done
    assert decoder.decode(buffer, 99) == b"h"
    assert decoder.done


def test_done_as_soon_as_the_last_byte_is_out(decoder: Any, io: ModuleType) -> None:
    buffer = io.InputBuffer(b"3\r\nabc\r\n0\r\n\r\nnext")
    assert decoder.decode(buffer, 3) == b"abc"
    assert decoder.done
    assert decoder.decode(buffer, 3) == b""
    assert buffer.take(99) == b"next"


WHOLE = b"3\r\nabc\r\n0\r\nX: y\r\n\r\n"


@pytest.mark.parametrize("size", range(len(WHOLE)))
def test_a_body_cut_short_is_not_done(decoder: Any, io: ModuleType, size: int) -> None:
    buffer = io.InputBuffer(WHOLE[:size])
    while decoder.decode(buffer, 100):
        pass
    assert not decoder.done
    buffer.feed(WHOLE[size:])
    while decoder.decode(buffer, 100):
        pass
    assert decoder.done
    assert decoder.trailers == [("X", "y")]


def test_data_before_a_fault_comes_out_first(decoder: Any, io: ModuleType) -> None:
    buffer = io.InputBuffer(b"3\r\nabc\r\n3\r\ndefXX")
    assert decoder.decode(buffer, 100) == b"abcdef"
    for _ in range(2):
        with pytest.raises(ChunkMissingTerminator):
            decoder.decode(buffer, 100)


def test_random_chunks_in_random_pieces(kernel: Kernel) -> None:
    parser, io, _ = kernel
    pick = random.Random(20)
    body = pick.randbytes(20_000)
    for _ in range(20):
        coded, at = b"", 0
        while at < len(body):
            size = pick.choice([1, 2, 9, 300, 4000])
            piece = body[at : at + size]
            coded += b"%x%s\r\n%s\r\n" % (len(piece), pick.choice([b"", b";a=b"]), piece)
            at += size
        coded += b"0\r\n\r\n"
        decoder = parser.ChunkedDecoder(parser.HeadRules())
        buffer = io.InputBuffer()
        decoded, at = b"", 0
        while not decoder.done:
            data = decoder.decode(buffer, pick.choice([1, 50, 5000]))
            if not data and not decoder.done:
                size = pick.choice([1, 2, 3, 100, 3000])
                buffer.feed(coded[at : at + size])
                at += size
            decoded += data
        assert decoded == body
        assert len(buffer) == min(at, len(coded)) - len(coded) == 0


def feed_in_bytes(decoder: Any, buffer: Any, data: bytes) -> None:
    for at in range(len(data)):
        buffer.feed(data[at : at + 1])
        decoder.decode(buffer, 100)


@pytest.mark.parametrize("rules", [{}, {"limit_request_field_size": 0}])
def test_size_line_at_its_limit(kernel: Kernel, rules: dict[str, int]) -> None:
    parser, io, _ = kernel
    line = b"0" * (CHUNK_LINE - 1) + b"3\r\n"
    decoder = parser.ChunkedDecoder(parser.HeadRules(**rules))
    assert decoder.decode(io.InputBuffer(line + b"abc"), 100) == b"abc"
    for extra in (b"0" + line, b"0" + line[:-1]):
        decoder = parser.ChunkedDecoder(parser.HeadRules(**rules))
        with pytest.raises(InvalidChunkSize, match="line over 8190 bytes"):
            decoder.decode(io.InputBuffer(extra), 100)
        decoder = parser.ChunkedDecoder(parser.HeadRules(**rules))
        with pytest.raises(InvalidChunkSize, match="line over 8190 bytes"):
            feed_in_bytes(decoder, io.InputBuffer(), extra)


def test_extensions_of_a_whole_body_are_limited(kernel: Kernel) -> None:
    parser, io, _ = kernel
    decoder = parser.ChunkedDecoder(parser.HeadRules())
    chunk = b"1;" + b"a" * 1023 + b"\r\nx\r\n"
    buffer = io.InputBuffer(chunk * (MAX_CHUNK_EXTENSIONS // 1024))
    assert decoder.decode(buffer, 100) == b"x" * 64
    with pytest.raises(InvalidChunkExtension, match="too many bytes"):
        decoder.decode(io.InputBuffer(b"1;a\r\nx\r\n"), 100)


def test_trailers_without_end(kernel: Kernel) -> None:
    parser, io, _ = kernel
    rules = parser.HeadRules(limit_request_fields=3, limit_request_field_size=20)
    decoder = parser.ChunkedDecoder(rules)
    buffer = io.InputBuffer(b"0\r\n")
    feed_in_bytes(decoder, buffer, b"A:\r\n" * 17 + b"A:")
    with pytest.raises(LimitRequestHeaders, match="max buffer headers"):
        feed_in_bytes(decoder, buffer, b"\r")


def test_largest_chunk(kernel: Kernel) -> None:
    parser, io, _ = kernel
    decoder = parser.ChunkedDecoder(parser.HeadRules())
    assert decoder.decode(io.InputBuffer(b"7fffffffffffffff\r\nabc"), 100) == b"abc"
    assert decoder.decode(io.InputBuffer(b"def"), 100) == b"def"
    assert not decoder.done


def test_every_hexadecimal_digit(kernel: Kernel) -> None:
    parser, io, _ = kernel
    for byte in range(256):
        decoder = parser.ChunkedDecoder(parser.HeadRules())
        buffer = io.InputBuffer(bytes([byte]) + b"\r\n" + b"x" * 20)
        if byte in b"0123456789abcdefABCDEF":
            assert len(decoder.decode(buffer, 100)) == int(chr(byte), 16)
        elif byte != ord("\n"):
            with pytest.raises(InvalidChunkSize):
                decoder.decode(buffer, 100)
