"""`_parser` and `_pyparser` give the same answer, or the same error, to whatever they are given."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from samples import SAMPLES

from cyserve import _io, _parser, _pyio, _pyparser

Kernel = tuple[ModuleType, ModuleType]
Events = list[Any]

COMPILED: Kernel = (_parser, _io)
PURE: Kernel = (_pyparser, _pyio)
CORPUS = Path(__file__).resolve().parents[1] / "corpus"
REQUESTS = [*SAMPLES.values(), *(path.read_bytes() for path in sorted(CORPUS.rglob("*.http")))]
SMALL = [request for request in REQUESTS if len(request) < 1500]

ATTRIBUTES = (
    "method target path query fragment version content_length chunked keep_alive flags size headers"
).split()


class TestSurface:
    """Same names, parameters and docstrings."""

    def test_modules(self) -> None:
        assert _parser.__all__ == _pyparser.__all__
        assert _parser.__doc__ is not None
        assert _pyparser.__doc__ is not None

    @pytest.mark.parametrize("name", ["ChunkedDecoder", "HeadRules", "RequestHead"])
    def test_classes(self, name: str) -> None:
        compiled, pure = getattr(_parser, name), getattr(_pyparser, name)
        assert inspect.getdoc(compiled) == inspect.getdoc(pure)
        names = [[each for each in dir(kind) if each[0] != "_"] for kind in (compiled, pure)]
        assert names[0] == names[1]
        for member in names[0]:
            theirs, ours = getattr(compiled, member), getattr(pure, member)
            assert callable(theirs) == callable(ours), member
            if callable(ours):
                self.check(member, theirs, ours)

    def test_functions(self) -> None:
        self.check("parse_head", _parser.parse_head, _pyparser.parse_head)

    def check(self, name: str, theirs: Any, ours: Any) -> None:
        signatures = [inspect.signature(each).parameters.values() for each in (theirs, ours)]
        compiled, pure = ([(p.name, p.kind, p.default) for p in found] for found in signatures)
        assert compiled == pure, name
        text = inspect.getdoc(theirs) or ""
        assert text.startswith(f"{name}("), "embedsignature puts the signature on top"
        assert text.partition("\n\n")[2] == inspect.getdoc(ours)

    def test_rules(self) -> None:
        options = {
            "limit_request_line": 0, "limit_request_fields": 0, "limit_request_field_size": 0,
            "strip_header_spaces": True, "scheme_headers": ("X-A_B", "HOST"),
        }  # fmt: skip
        for given_options in ({}, options):
            compiled, pure = (kernel[0].HeadRules(**given_options) for kernel in (COMPILED, PURE))
            for name in (each for each in dir(pure) if each[0] != "_" and each != "parse"):
                assert getattr(compiled, name) == getattr(pure, name), name
        with pytest.raises(TypeError):
            _parser.HeadRules(4094)
        with pytest.raises(TypeError):
            _pyparser.HeadRules(4094)  # type: ignore[misc]


def drive(kernel: Kernel, pieces: Sequence[bytes], size: int, options: dict[str, Any]) -> Events:
    """Feed the pieces to a parser, head after head and body after body, and write down all."""
    parser, io = kernel
    rules = parser.HeadRules(**options)
    buffer = io.InputBuffer()
    events: Events = []
    decoder: Any = None
    for piece in pieces:
        buffer.feed(piece)
        try:
            while True:
                before = len(buffer)
                if decoder is None:
                    head = parser.parse_head(buffer, rules)
                    if head is not None:
                        events.append([getattr(head, name) for name in ATTRIBUTES])
                        events.append(head.request_line())
                        if head.chunked:
                            decoder = parser.ChunkedDecoder(rules)
                else:
                    events.append((decoder.decode(buffer, size), decoder.done))
                    if decoder.done:
                        events.append(decoder.trailers)
                        decoder = None
                events.append((len(buffer), buffer.scanned))
                if len(buffer) == before:
                    break
        except Exception as error:
            events.append((type(error), error.args, str(error), len(buffer)))
            return events
    return events


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted(place % (len(data) + 1) for place in places)
    return [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "limit_request_line": st.sampled_from([0, 14, 20, 100]),
        "limit_request_fields": st.sampled_from([0, 1, 2, 3]),
        "limit_request_field_size": st.sampled_from([0, 5, 20, 28, 60]),
        "permit_obsolete_folding": st.booleans(),
        "strip_header_spaces": st.booleans(),
        "permit_unconventional_http_method": st.booleans(),
        "permit_unconventional_http_version": st.booleans(),
        "casefold_http_method": st.booleans(),
        "scheme_headers": st.sampled_from([(), ("HOST",), ("X-FORWARDED-PROTO", "X~Y", "A_B")]),
    },
)
TOKENS = st.sampled_from(
    [b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b";", b",", b"\0", b"\x7f", b"\x85", b"\xa0", b"_"]
    + [
        b"0",
        b"a",
        b"F",
        b'"',
        b"\\",
        b"=",
        b"#",
        b"?",
        b"%",
        b"%4",
        b"*",
        b"/",
        b"://",
        b"\r\n\r\n",
    ]
    + [b"Host: b\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b" chunked"]
    + [b"Connection: close\r\n", b"X_Y: 1\r\n", b"\r\n ", b"\r\n\t", b"3\r\nabc\r\n", b"0\r\n\r\n"]
    + [b"Cookie: a\r\n", b"HTTP/1.0", b"HTTP/1.1", b"9" * 20, b"gzip, "]
)
CHANGES = st.lists(
    st.tuples(st.integers(0, 1500), st.integers(0, 6), TOKENS | st.binary(max_size=3)), max_size=6
)
PLACES = st.lists(st.integers(0, 1500), max_size=5)


def changed(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for place, size, new in changes:
        at = place % (len(data) + 1)
        data = data[:at] + new + data[at + size :]
    return data


@settings(max_examples=400)
@given(st.lists(st.sampled_from(SMALL), min_size=1, max_size=2), CHANGES, PLACES, OPTIONS)
def test_changed_requests(
    requests: list[bytes],
    changes: list[tuple[int, int, bytes]],
    places: list[int],
    options: dict[str, Any],
) -> None:
    pieces = cut(changed(b"".join(requests), changes), places)
    for size in (3, 65536):
        assert drive(COMPILED, pieces, size, options) == drive(PURE, pieces, size, options)


@settings(max_examples=200)
@given(st.sampled_from(SMALL), CHANGES, PLACES)
def test_where_bytes_are_split_changes_nothing(
    request: bytes, changes: list[tuple[int, int, bytes]], places: list[int]
) -> None:
    data = changed(request, changes)
    for kernel in (COMPILED, PURE):
        whole, split = (verdict(kernel, pieces) for pieces in ([data], cut(data, places)))
        assert whole == split


def verdict(kernel: Kernel, pieces: Sequence[bytes]) -> Any:
    """What comes of the first head, however it arrives: its attributes, or the error."""
    parser, io = kernel
    rules = parser.HeadRules()
    buffer = io.InputBuffer()
    for piece in pieces:
        buffer.feed(piece)
        try:
            head = parser.parse_head(buffer, rules)
        except Exception as error:
            return type(error), error.args
        if head is not None:
            return [getattr(head, name) for name in ATTRIBUTES]
    return None


NAMES = st.text("aAbB-_~^9", min_size=1, max_size=9) | st.sampled_from(
    ["Host", "cookie", "COOKIE", "Content-Type", "content-length", "X-Forwarded-For", "accept"]
)
VALUES = st.text(st.characters(max_codepoint=0xFF, exclude_categories=["Cc"]), max_size=20)


@settings(max_examples=200)
@given(st.lists(st.tuples(NAMES, VALUES), max_size=60), st.booleans(), st.binary(max_size=9))
@example([("A", ""), ("a", "")], False, b"")
def test_environ(fields: list[tuple[str, str]], as_list: bool, path: bytes) -> None:
    target = b"/%" + path.hex("%").encode() + b"%4?%41"
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields).encode("latin-1")
    data = b"GET " + target + b" HTTP/1.1\r\n" + lines + b"\r\n"
    results = []
    for parser, io in (COMPILED, PURE):
        try:
            head = parser.parse_head(io.InputBuffer(data), parser.HeadRules())
        except Exception as error:
            results.append((type(error), error.args))
            continue
        if as_list:
            head.headers = head.headers[1:]
        environ = head.fill_environ({"HTTP_AB": "set before", "A": 1})
        results.append((list(environ.items()), head.headers))
    assert results[0] == results[1]


@given(st.text(max_size=12), st.text(max_size=3), st.integers(0, 12), st.integers(0, 12))
def test_environ_from_changed_attributes(path: str, method: str, major: int, minor: int) -> None:
    results = []
    for parser, io in (COMPILED, PURE):
        head = parser.parse_head(io.InputBuffer(SAMPLES["browser"]), parser.HeadRules())
        head.method, head.path, head.version = method, path, (major, minor)
        try:
            results.append(head.fill_environ({}))
        except UnicodeEncodeError as error:
            results.append(type(error))
    assert results[0] == results[1]


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.binary(max_size=40), st.sampled_from([b"", b";a", b';b="c"', b" ;d=e"]))),
    CHANGES,
    PLACES,
    st.integers(-1, 50),
)
def test_chunked(
    chunks: list[tuple[bytes, bytes]],
    changes: list[tuple[int, int, bytes]],
    places: list[int],
    size: int,
) -> None:
    body = b"".join(
        b"%x%s\r\n%s\r\n" % (len(data), extension, data) for data, extension in chunks if data
    )
    pieces = cut(changed(body + b"0\r\nX: y\r\n\r\nrest", changes), places)
    results = []
    for parser, io in (COMPILED, PURE):
        decoder = parser.ChunkedDecoder(parser.HeadRules(limit_request_field_size=60))
        buffer = io.InputBuffer()
        events: Events = []
        try:
            for piece in pieces:
                buffer.feed(piece)
                while not decoder.done and (data := decoder.decode(buffer, size)):
                    events.append((data, len(buffer)))
                events.append((decoder.done, decoder.trailers, len(buffer)))
        except Exception as error:
            events.append((type(error), error.args, len(buffer)))
        results.append(events)
    assert results[0] == results[1]
