"""OutputBuffer: what is written leaves once, in order, whatever the socket takes at a time."""

import os
import select
import socket
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A connected pair, both ends non-blocking."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


def received(theirs: socket.socket) -> bytes:
    """All that has arrived."""
    found = []
    while select.select([theirs], [], [], 0)[0]:
        found.append(theirs.recv(1 << 20))
        if not found[-1]:
            break
    return b"".join(found)


def drained(buffer: Any, ours: socket.socket, theirs: socket.socket) -> bytes:
    """Flush until nothing is left, reading at the other end; what arrived."""
    found = []
    while buffer.flush(ours.fileno()):
        found.append(received(theirs))
    return b"".join([*found, received(theirs)])


class TestFlush:
    def test_nothing(self, io: ModuleType, pair: Pair) -> None:
        assert io.OutputBuffer().flush(pair[0].fileno()) == 0
        assert received(pair[1]) == b""

    def test_nothing_leaves_before(self, io: ModuleType, pair: Pair) -> None:
        buffer = io.OutputBuffer()
        buffer.write(b"abc")
        buffer.write(b"de")
        assert len(buffer) == 5
        assert received(pair[1]) == b""
        assert buffer.flush(pair[0].fileno()) == 0
        assert len(buffer) == 0
        assert received(pair[1]) == b"abcde"

    @pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 63, 64, 65, 128, 129, 1000])
    def test_many_pieces(self, io: ModuleType, pair: Pair, count: int) -> None:
        buffer = io.OutputBuffer()
        pieces = [b"%d," % number for number in range(count)]
        for piece in pieces:
            buffer.write(piece)
        assert drained(buffer, *pair) == b"".join(pieces)

    @pytest.mark.parametrize("size", [1, 999, 65535, 65536, 65537, 1_000_003])
    def test_more_than_the_socket_takes(self, io: ModuleType, pair: Pair, size: int) -> None:
        pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        pieces = [os.urandom(size) for _ in range(4)]
        buffer = io.OutputBuffer()
        for piece in pieces:
            buffer.write(piece)
        assert drained(buffer, *pair) == b"".join(pieces)

    def test_full_socket_is_no_error(self, io: ModuleType, pair: Pair) -> None:
        buffer = io.OutputBuffer()
        buffer.write(bytes(4_000_000))
        left = buffer.flush(pair[0].fileno())
        assert 0 < left < 4_000_000
        assert buffer.flush(pair[0].fileno()) == left == len(buffer)

    @pytest.mark.parametrize("pieces", [1, 3])
    def test_broken_pipe(self, io: ModuleType, pair: Pair, pieces: int) -> None:
        pair[1].close()
        buffer = io.OutputBuffer()
        for _ in range(pieces):
            buffer.write(b"abc")
        for _ in range(2):
            with pytest.raises(BrokenPipeError):
                buffer.flush(pair[0].fileno())
        assert buffer.peek(99) == b"abc" * pieces

    def test_connection_reset(self, io: ModuleType) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            with socket.create_connection(listener.getsockname()) as ours:
                theirs, _ = listener.accept()
                ours.sendall(b"never read")
                select.select([theirs], [], [])
                theirs.close()  # with unread bytes: a reset
                select.select([ours], [], [])
                ours.setblocking(False)
                buffer = io.OutputBuffer()
                buffer.write(b"abc")
                with pytest.raises(ConnectionResetError):
                    buffer.flush(ours.fileno())
                assert len(buffer) == 3

    def test_descriptor_that_is_not_open(self, io: ModuleType) -> None:
        buffer = io.OutputBuffer()
        buffer.write(b"abc")
        with pytest.raises(OSError, match="Bad file descriptor"):
            buffer.flush(-1)
        assert len(buffer) == 3


class TestWrite:
    def test_empty_pieces_take_no_room(self, io: ModuleType, pair: Pair) -> None:
        buffer = io.OutputBuffer()
        for empty in (b"", bytearray(), memoryview(b"")):
            buffer.write(empty)
            buffer.write_chunk(empty)
        assert len(buffer) == 0
        assert drained(buffer, *pair) == b""

    def test_what_can_change_is_copied(self, io: ModuleType) -> None:
        data = bytearray(b"abcdef")
        buffer = io.OutputBuffer()
        buffer.write(data)
        buffer.write(memoryview(data)[1:3])
        buffer.write(memoryview(data)[::2])
        buffer.write_chunk(data)
        data[:] = b"uvwxyz"
        data.clear()  # and nothing holds on to its memory
        assert buffer.peek(99) == b"abcdefbcace6\r\nabcdef\r\n"

    def test_subclass_of_bytes(self, io: ModuleType) -> None:
        class Safe(bytes):
            pass

        buffer = io.OutputBuffer()
        buffer.write(Safe(b"abc"))
        buffer.write_chunk(Safe(b"def"))
        assert buffer.peek(99) == b"abc3\r\ndef\r\n"

    @pytest.mark.parametrize("bad", ["text", None, 5, [97, 98]])
    def test_bytes_only(self, io: ModuleType, bad: Any) -> None:
        buffer = io.OutputBuffer()
        with pytest.raises(TypeError):
            buffer.write(bad)
        with pytest.raises(TypeError):
            buffer.write_chunk(bad)
        assert len(buffer) == 0

    @pytest.mark.skipif(not hasattr(sys, "getrefcount"), reason="counts references")
    def test_bytes_are_held_by_reference_and_let_go(self, io: ModuleType, pair: Pair) -> None:
        data = os.urandom(100)
        before = sys.getrefcount(data)
        for let_go in ("clear", "skip", "flush", "forget"):
            buffer = io.OutputBuffer()
            buffer.write(data)
            buffer.write_chunk(data)
            assert sys.getrefcount(data) == before + 2
            if let_go == "clear":
                buffer.clear()
            elif let_go == "skip":
                buffer.skip(1000)
            elif let_go == "flush":
                assert buffer.flush(pair[0].fileno()) == 0
            else:
                del buffer
            assert sys.getrefcount(data) == before


class TestChunks:
    @pytest.mark.parametrize("size", [1, 9, 10, 15, 16, 255, 256, 4095, 4096, 0xABCDEF])
    def test_framing(self, io: ModuleType, pair: Pair, size: int) -> None:
        data = bytes(size)
        buffer = io.OutputBuffer()
        buffer.write_chunk(data)
        assert len(buffer) == size + len(f"{size:X}") + 4
        assert drained(buffer, *pair) == f"{size:X}\r\n".encode() + data + b"\r\n"

    def test_end(self, io: ModuleType, pair: Pair) -> None:
        buffer = io.OutputBuffer()
        buffer.write(b"head\r\n\r\n")
        buffer.write_chunk(b"abc")
        buffer.end_chunks()
        assert drained(buffer, *pair) == b"head\r\n\r\n3\r\nabc\r\n0\r\n\r\n"


class TestPeekAndSkip:
    def test_at_every_place(self, io: ModuleType) -> None:
        whole = b"abc3\r\ndef\r\n11\r\n" + b"g" * 17 + b"\r\n0\r\n\r\nh"
        for start in range(-1, len(whole) + 3):
            buffer = io.OutputBuffer()
            buffer.write(b"abc")
            buffer.write_chunk(b"def")
            buffer.write_chunk(b"g" * 17)
            buffer.end_chunks()
            buffer.write(b"h")
            buffer.skip(start)
            rest = whole[max(0, start) :]
            assert len(buffer) == len(rest)
            for size in range(-1, len(rest) + 3):
                assert buffer.peek(size) == rest[: max(0, size)]

    def test_clear(self, io: ModuleType, pair: Pair) -> None:
        buffer = io.OutputBuffer()
        buffer.clear()
        buffer.write(b"abc")
        buffer.write_chunk(b"def")
        buffer.skip(1)
        buffer.clear()
        assert len(buffer) == 0
        assert buffer.peek(5) == b""
        buffer.write(b"next")
        assert drained(buffer, *pair) == b"next"


steps = st.one_of(
    st.tuples(st.sampled_from(["write", "write_chunk"]), st.binary(max_size=300)),
    st.tuples(st.just("end_chunks")),
    st.tuples(st.sampled_from(["peek", "skip"]), st.integers(-1, 900)),
    st.tuples(st.just("flush")),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # `pair` is left empty
@given(st.lists(steps, max_size=60))
def test_against_a_model(io: ModuleType, pair: Pair, script: list[tuple[Any, ...]]) -> None:
    buffer, model = io.OutputBuffer(), b""
    for name, *rest in script:
        if name == "flush":
            assert drained(buffer, *pair) == model
            model = b""
            continue
        result = getattr(buffer, name)(*rest)
        if name == "write":
            model += rest[0]
        elif name == "write_chunk" and rest[0]:
            model += f"{len(rest[0]):X}\r\n".encode() + rest[0] + b"\r\n"
        elif name == "end_chunks":
            model += b"0\r\n\r\n"
        elif name == "skip":
            model = model[max(0, rest[0]) :]
        elif name == "peek":
            assert result == model[: max(0, rest[0])]
        assert len(buffer) == len(model)
    assert drained(buffer, *pair) == model


class TestSendNow:
    def test_as_write_and_flush(self, io: ModuleType, pair: Pair) -> None:
        ours, theirs = pair
        output = io.OutputBuffer()
        assert output.send_now(ours.fileno(), b"") == 0
        assert output.send_now(ours.fileno(), b"one") == 0
        output.write(b"two")
        assert output.send_now(ours.fileno(), b"three") == 0
        assert theirs.recv(100) == b"onetwothree"

    def test_what_the_socket_does_not_take_waits(self, io: ModuleType, pair: Pair) -> None:
        ours, theirs = pair
        output = io.OutputBuffer()
        data = bytes(range(256)) * 40000
        left = output.send_now(ours.fileno(), data)
        assert 0 < left < len(data)
        assert len(output) == left
        got = b""
        while len(got) < len(data):
            got += theirs.recv(1 << 20)
            output.flush(ours.fileno())
        assert got == data

    def test_nobody_is_there(self, io: ModuleType, pair: Pair) -> None:
        ours, theirs = pair
        theirs.close()
        output = io.OutputBuffer()
        with pytest.raises(BrokenPipeError):
            output.send_now(ours.fileno(), b"x")
        assert output.peek(10) == b"x"
