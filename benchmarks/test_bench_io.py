"""What an answer costs in the kernel: its head, its chunks, its way through the output buffer.

Each `[compiled]` beside `[pure]`. Sends go to a socket pair and are read again;
`test_plain_write` is that same way without a buffer: the difference is the buffer's own cost.
"""

import os
import socket
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import pytest

KINDS = {"compiled": "cyserve._io", "pure": "cyserve._pyio"}
FOUND = [kind for kind, name in KINDS.items() if find_spec(name)]

START = b"HTTP/1.1 "
SERVER_FIELDS = (
    b"Server: cyserve\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nConnection: keep-alive\r\n"
)
BODY = b"Hello, world!"
HELLO = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "13")]
PAGE = [
    ("Content-Type", "text/html; charset=utf-8"),
    ("X-Frame-Options", "DENY"),
    ("Content-Length", "13"),
    ("Vary", "Cookie"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Set-Cookie", "csrftoken=" + "a" * 32 + "; expires=Mon, 01 Jan 2024 00:00:00 GMT; Path=/"),
]


@pytest.fixture(params=FOUND)
def io(request: pytest.FixtureRequest) -> ModuleType:
    return import_module(KINDS[request.param])


@pytest.fixture
def pair() -> Iterator[tuple[int, int]]:
    """The descriptors of a connected pair, the first one non-blocking."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours.fileno(), theirs.fileno()


@pytest.mark.parametrize("fields", [HELLO, PAGE], ids=["hello", "page"])
def test_response_head(benchmark: Any, io: ModuleType, fields: list[tuple[str, str]]) -> None:
    make = io.ResponseHead
    whole = benchmark(lambda: make("200 OK", fields).serialize(START, SERVER_FIELDS, BODY))
    assert whole.endswith(b"\r\n\r\nHello, world!")


@pytest.mark.parametrize("size", [100, 100_000])
def test_write_chunk(benchmark: Any, io: ModuleType, size: int) -> None:
    buffer = io.OutputBuffer()
    data = bytes(size)

    def chunk() -> None:
        buffer.write_chunk(data)
        buffer.clear()

    benchmark(chunk)
    assert len(buffer) == 0


def test_write_and_flush(benchmark: Any, io: ModuleType, pair: tuple[int, int]) -> None:
    buffer = io.OutputBuffer()
    ours, theirs = pair
    data = bytes(180)

    def send() -> bytes:
        buffer.write(data)
        buffer.flush(ours)
        return os.read(theirs, 4096)

    assert benchmark(send) == data


def test_plain_write(benchmark: Any, pair: tuple[int, int]) -> None:
    ours, theirs = pair
    data = bytes(180)

    def send() -> bytes:
        os.write(ours, data)
        return os.read(theirs, 4096)

    assert benchmark(send) == data


def test_head_and_chunks(benchmark: Any, io: ModuleType, pair: tuple[int, int]) -> None:
    buffer = io.OutputBuffer()
    ours, theirs = pair
    head, data = bytes(180), bytes(1000)

    def send() -> bytes:
        buffer.write(head)
        for _ in range(4):
            buffer.write_chunk(data)
        buffer.end_chunks()
        buffer.flush(ours)
        return os.read(theirs, 8192)

    assert len(benchmark(send)) == 180 + 4 * 1007 + 5


def test_fill_and_take(benchmark: Any, io: ModuleType, pair: tuple[int, int]) -> None:
    buffer = io.InputBuffer()
    ours, theirs = pair
    data = bytes(700)

    def receive() -> bytes:
        os.write(theirs, data)
        buffer.fill(ours)
        taken: bytes = buffer.take(700)
        return taken

    assert benchmark(receive) == data
