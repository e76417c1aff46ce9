"""Every request file of tests/corpus, however its bytes arrive, with both kinds of parser."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cyserve import _errors, _grammar

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
NEXT = b"GET /next HTTP/1.1\r\nHost: b.example\r\n\r\n"

Kernel = tuple[ModuleType, ModuleType]
Verdict = dict[str, Any]


def files(kind: str) -> list[Any]:
    found = sorted((CORPUS / kind).glob("*.http"))
    assert len(found) > 50
    return [pytest.param(path, id=path.stem) for path in found]


def load(path: Path) -> tuple[bytes, Verdict]:
    return path.read_bytes(), json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


def rules(parser: ModuleType, expected: Verdict) -> Any:
    options = dict(expected.get("rules", {}))
    options["scheme_headers"] = tuple(options.get("scheme_headers", ()))
    return parser.HeadRules(**options)


def plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return list(map(plain, value)) if isinstance(value, tuple | list) else value


def read(kernel: Kernel, expected: Verdict, pieces: Iterable[bytes], size: int) -> Any:
    """Read one request as a server does, receiving a piece when told that more is needed.

    Returns the head, the body, the trailers and the bytes left over; raises what is raised.
    """
    parser, io, _ = kernel
    made = rules(parser, expected)
    buffer = io.InputBuffer()
    arriving = iter(pieces)
    while (head := parser.parse_head(buffer, made)) is None:
        buffer.feed(next(arriving))
    body = b""
    trailers: list[tuple[str, str]] = []
    if head.chunked:
        decoder = parser.ChunkedDecoder(made)
        while not decoder.done:
            data = decoder.decode(buffer, size)
            assert len(data) <= size
            if not data and not decoder.done:
                buffer.feed(next(arriving))
            body += data
        trailers = decoder.trailers
    while len(body) < head.content_length:
        body += buffer.take(head.content_length - len(body)) or next(arriving)
    left = buffer.take(1 << 20) + b"".join(arriving)
    return head, body, trailers, left


def ways(data: bytes) -> Iterator[tuple[Iterable[bytes], int]]:
    """Pieces in which the same bytes may arrive, with sizes to read the body in."""
    large = len(data) > 700  # then split only near line ends and here and there
    yield [data], 1 << 16
    yield [data], 1
    yield [data[at : at + 1] for at in range(len(data))], 7
    for at in range(1, len(data)):
        if not large or at % 97 == 0 or b"\n" in data[at - 3 : at + 3]:
            yield [data[:at], data[at:]], 1 << 16


def check(expected: Verdict, head: Any, body: bytes, trailers: Any) -> None:
    for name in ("method", "target", "path", "query", "fragment", "version", "headers"):
        assert plain(getattr(head, name)) == expected[name], name
    for name in ("content_length", "chunked", "keep_alive"):
        assert getattr(head, name) == expected[name], name
    flags = [getattr(_grammar, f"HAS_{flag.upper()}") for flag in expected["flags"]]
    assert head.flags == sum(flags)
    assert body.decode("latin-1") == expected["body"]
    assert plain(trailers) == expected["trailers"]


@pytest.mark.parametrize("path", files("valid"))
def test_valid(kernel: Kernel, path: Path) -> None:
    data, expected = load(path)
    for pieces, size in ways(data):
        head, body, trailers, left = read(kernel, expected, pieces, size)
        check(expected, head, body, trailers)
        assert left == b""
    template = {"wsgi.version": (1, 0)}
    environ = head.fill_environ(template)
    assert template == {"wsgi.version": (1, 0)}
    for key, value in {"wsgi.version": (1, 0), **expected["environ"]}.items():
        assert environ[key] == value
    assert sum(key.startswith("HTTP_") for key in environ) == len(
        {name for name, _ in head.headers} - {"CONTENT-TYPE", "CONTENT-LENGTH"}
    )


@pytest.mark.parametrize("path", files("valid"))
def test_environ_from_the_list_is_the_same(kernel: Kernel, path: Path) -> None:
    data, expected = load(path)
    straight = read(kernel, expected, [data], 1 << 16)[0].fill_environ({})
    head = read(kernel, expected, [data], 1 << 16)[0]
    head.headers = list(head.headers)
    assert head.fill_environ({}) == straight


@pytest.mark.parametrize("path", files("valid"))
def test_next_request_is_left_alone(kernel: Kernel, path: Path) -> None:
    data, expected = load(path)
    head, body, trailers, left = read(kernel, expected, [data + NEXT], 1 << 16)
    check(expected, head, body, trailers)
    assert left == NEXT
    assert head.size == len(data) - len(data[head.size :])
    assert data[: head.size].endswith(b"\r\n\r\n")
    assert head.request_line() == data.lstrip(b"\r\n").partition(b"\r\n")[0]


@pytest.mark.parametrize("path", files("invalid"))
def test_invalid(kernel: Kernel, path: Path) -> None:
    data, expected = load(path)
    kind = getattr(_errors, expected["error"])
    with pytest.raises(kind) as caught:
        read(kernel, expected, [data], 1 << 16)
    assert plain(caught.value.args) == expected["args"]
    assert 400 <= caught.value.status <= 501
    limit = issubclass(kind, _errors.LimitRequestLine)  # says how much had come
    for pieces, size in ways(data + NEXT):
        with pytest.raises(kind) as caught:
            read(kernel, expected, pieces, size)
        assert limit or plain(caught.value.args) == expected["args"]
