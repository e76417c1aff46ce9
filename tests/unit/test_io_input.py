"""InputBuffer: what is received comes out again, in order and once."""

import os
import socket
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A connected pair, the first end non-blocking."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


class TestFill:
    def test_nothing_to_receive(self, io: ModuleType, pair: Pair) -> None:
        buffer = io.InputBuffer()
        assert buffer.fill(pair[0].fileno()) == -1
        assert len(buffer) == 0

    def test_no_more_than_asked_for(self, io: ModuleType, pair: Pair) -> None:
        pair[1].sendall(b"abcdef")
        buffer = io.InputBuffer(b"0")
        assert buffer.fill(pair[0].fileno(), 4) == 4
        assert buffer.peek(99) == b"0abcd"
        assert buffer.fill(pair[0].fileno()) == 2
        assert buffer.take(99) == b"0abcdef"

    def test_end_of_stream(self, io: ModuleType, pair: Pair) -> None:
        pair[1].sendall(b"last")
        pair[1].close()
        buffer = io.InputBuffer()
        assert [buffer.fill(pair[0].fileno()) for _ in range(3)] == [4, 0, 0]
        assert buffer.take(99) == b"last"

    def test_connection_reset(self, io: ModuleType, pair: Pair) -> None:
        pair[0].send(b"never read")  # closing an end with unread bytes resets the other
        pair[1].close()
        buffer = io.InputBuffer(b"kept")
        with pytest.raises(ConnectionResetError):
            buffer.fill(pair[0].fileno())
        assert buffer.take(99) == b"kept"

    def test_descriptor_that_is_not_open(self, io: ModuleType) -> None:
        with pytest.raises(OSError, match="Bad file descriptor"):
            io.InputBuffer().fill(-1)

    @pytest.mark.parametrize("size", [0, -1])
    def test_no_room_is_not_the_end_of_the_stream(
        self, io: ModuleType, pair: Pair, size: int
    ) -> None:
        pair[1].sendall(b"x")
        with pytest.raises(ValueError, match="size must be positive"):
            io.InputBuffer().fill(pair[0].fileno(), size)

    def test_many_pieces_taken_as_they_come(self, io: ModuleType, pair: Pair) -> None:
        sent = os.urandom(200_000)
        buffer = io.InputBuffer()
        taken = bytearray()
        for start in range(0, len(sent), 5000):
            pair[1].sendall(sent[start : start + 5000])
            while buffer.fill(pair[0].fileno(), 1777) > 0:
                taken += buffer.take(1500)
        assert bytes(taken) + buffer.take(len(buffer)) == sent


class TestDraw:
    """Bytes that go from the socket straight into the object that is returned."""

    def test_nothing_yet(self, io: ModuleType, pair: Pair) -> None:
        buffer = io.InputBuffer()
        assert buffer.draw(pair[0].fileno(), 10) is None
        pair[1].sendall(b"abc")
        assert buffer.draw(pair[0].fileno(), 10) == b"abc"
        assert buffer.draw(pair[0].fileno(), 10) is None

    def test_no_more_than_asked_for(self, io: ModuleType, pair: Pair) -> None:
        pair[1].sendall(b"abcdef")
        buffer = io.InputBuffer()
        assert buffer.draw(pair[0].fileno(), 4) == b"abcd"
        assert len(buffer) == 0
        assert buffer.draw(pair[0].fileno(), 4) == b"ef"

    def test_what_is_here_goes_first(self, io: ModuleType, pair: Pair) -> None:
        buffer = io.InputBuffer(b"012345")
        pair[1].sendall(b"abcdef")
        assert buffer.draw(pair[0].fileno(), 4) == b"0123"
        assert buffer.draw(pair[0].fileno(), 4) == b"45ab"
        assert len(buffer) == 0
        assert buffer.draw(pair[0].fileno(), 99) == b"cdef"

    def test_what_is_here_is_enough(self, io: ModuleType, pair: Pair) -> None:
        assert io.InputBuffer(b"0123").draw(pair[0].fileno(), 10) == b"0123"
        assert io.InputBuffer(b"0123").draw(-1, 4) == b"0123"  # nothing is received

    def test_end_of_stream(self, io: ModuleType, pair: Pair) -> None:
        pair[1].sendall(b"st")
        pair[1].close()
        buffer = io.InputBuffer(b"la")
        assert [buffer.draw(pair[0].fileno(), 9) for _ in range(3)] == [b"last", b"", b""]

    def test_an_error_leaves_what_is_here(self, io: ModuleType, pair: Pair) -> None:
        pair[0].send(b"never read")
        pair[1].close()
        buffer = io.InputBuffer(b"kept")
        with pytest.raises(ConnectionResetError):
            buffer.draw(pair[0].fileno(), 9)
        assert buffer.take(99) == b"kept"

    @pytest.mark.parametrize("size", [0, -1])
    def test_no_room_is_not_the_end_of_the_stream(
        self, io: ModuleType, pair: Pair, size: int
    ) -> None:
        pair[1].sendall(b"x")
        with pytest.raises(ValueError, match="size must be positive"):
            io.InputBuffer(b"y").draw(pair[0].fileno(), size)

    def test_its_memory_is_its_own(self, io: ModuleType, pair: Pair) -> None:
        buffer = io.InputBuffer()
        drawn = []
        for number in range(50):
            pair[1].sendall(b"%04d" % number * 100)
            drawn.append(buffer.draw(pair[0].fileno(), 60_000))
        assert drawn == [b"%04d" % number * 100 for number in range(50)]


def test_scanned_starts_anew_behind_what_is_consumed(io: ModuleType, parser: ModuleType) -> None:
    buffer = io.InputBuffer(b"GET / HTTP/1.1\r\nHost: a")
    assert parser.parse_head(buffer, parser.HeadRules()) is None
    assert buffer.scanned != 0
    buffer.skip(1)
    assert buffer.scanned == 0


def test_released_buffer_is_still_usable(io: ModuleType) -> None:
    buffer = io.InputBuffer(b"abc")
    buffer.release()
    assert buffer.take(99) == b"abc"
    buffer.release()
    buffer.release()
    assert len(buffer) == 0
    assert buffer.peek(1) == b""
    buffer.feed(b"def")
    assert buffer.take(99) == b"def"


def test_text_is_refused(io: ModuleType) -> None:
    with pytest.raises(TypeError):
        io.InputBuffer().feed("abc")
    with pytest.raises(TypeError):
        io.InputBuffer("abc")


sizes = st.integers(-2, 40) | st.sampled_from([-(2**40), 2**40])
steps = st.one_of(
    st.tuples(st.just("feed"), st.binary(max_size=60).map(lambda data: data.replace(b"a", b"\n"))),
    st.tuples(st.sampled_from(["peek", "take", "skip"]), sizes),
    st.tuples(st.just("release")),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # `io` is a module
@given(st.lists(steps, max_size=40))
def test_against_a_model(io: ModuleType, script: list[tuple[Any, ...]]) -> None:
    buffer, model = io.InputBuffer(), b""
    for name, *given_args in script:
        result = getattr(buffer, name)(*given_args)
        if name == "feed":
            model += given_args[0]
        elif name != "release":
            size = max(0, given_args[0])
            front = model[:size]
            assert result == (len(front) if name == "skip" else front)
            if name != "peek":
                model = model[len(front) :]
        assert len(buffer) == len(model)
    assert buffer.take(len(model)) == model
