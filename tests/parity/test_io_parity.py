"""`_io` and `_pyio` give the same answer, or the same error, to whatever they are given."""

import inspect
import socket
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cyserve import _io, _pyio

Outcome = tuple[Any, ...]

BOTH: list[ModuleType] = [_io, _pyio]
CLASSES = ["InputBuffer", "OutputBuffer", "ResponseHead"]


def outcome(call: Any, *args: Any) -> Outcome:
    """What a call returns, or the class and the arguments of what it raises."""
    try:
        return ("returned", call(*args))
    except Exception as error:
        return (type(error), error.args)


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    found = inspect.signature(function).parameters.values()
    return [(each.name, each.kind, each.default) for each in found]


def documentation(thing: Any, name: str) -> str:
    """Its docstring, without the signature that Cython puts on top."""
    text = inspect.getdoc(thing) or ""
    return text.partition("\n\n")[2] if text.startswith((f"{name}(", f"{name}: ")) else text


class TestSurface:
    def test_modules(self) -> None:
        assert set(_io.__all__) == set(_pyio.__all__) == set(CLASSES)

    @pytest.mark.parametrize("name", CLASSES)
    def test_names(self, name: str) -> None:
        compiled, pure = (public(getattr(module, name)) for module in BOTH)
        assert pure - compiled <= {"data"}  # InputBuffer's memory, for the parser's twin
        assert compiled <= pure

    @pytest.mark.parametrize("name", CLASSES)
    def test_docstrings_and_parameters(self, name: str) -> None:
        compiled, pure = (getattr(module, name) for module in BOTH)
        assert inspect.getdoc(compiled) == inspect.getdoc(pure)
        for member in public(compiled) - {"status", "status_code"}:  # C fields: no docstring
            theirs, ours = getattr(compiled, member), getattr(pure, member)
            if callable(ours):
                assert parameters(theirs) == parameters(ours), member
            if callable(ours) or isinstance(ours, property):
                assert documentation(theirs, member) == inspect.getdoc(ours), member


characters = st.sampled_from("abcXYZ019-_ \t,:;=\r\n\0\x7f\x80\xff\u0100\u20ac\U0001f600")
texts = st.text(characters, max_size=12) | st.text(max_size=6)
names = texts | st.sampled_from(
    [
        "Connection", "content-length", "Content-Length", "Date", "Keep-Alive", "Server", "TE",
        "Transfer-Encoding", "trailers", "Upgrade", "UPGRADE", "X-Name", "Set-Cookie",
        "K" * 260, "\u212aeep-Alive",
    ]
)  # fmt: skip
values = texts | st.sampled_from(
    [
        "close", "Upgrade, close", "websocket", " WebSocket", "h2c", "5", "05", " 5 ", "6", "-5",
        "+5", "5_0", "9" * 18, "1" * 19, "\u0665", "v" * 500, "a\r\nb: c",
    ]
)  # fmt: skip
odd = st.none() | st.integers(0, 9) | st.binary(max_size=3)
fields = (
    st.tuples(names, values)
    | st.lists(names | values, min_size=2, max_size=2)
    | st.tuples(names, values, values)
    | st.tuples(names | odd, values | odd)
    | odd
    | texts
)
good_fields = st.tuples(
    st.sampled_from(["A", "content-length", "Connection", "Upgrade", "Server", "x" * 200]),
    st.sampled_from(["5", "close", "websocket", " 5", "v" * 90]),
)
lists = st.lists(good_fields, max_size=12) | st.lists(fields, max_size=5)
statuses = st.sampled_from(["200 OK", "200", "204 No Content", "404 \xe9", "20", b"200 OK", None])
statuses |= texts | st.text("0123456789 ", max_size=5)
changes = st.tuples(st.sampled_from(["none", "extend", "replace"]), lists)


def visible(head: Any) -> Outcome:
    members = ("status", "status_code", "content_length", "upgrade", "close")
    return outcome(lambda: [(type(value := getattr(head, name)), value) for name in members])


def wire(head: Any, length: bool) -> Outcome:
    """The serialised head, which must be one head, whatever the application did."""
    found = outcome(
        lambda: head.serialize(b"HTTP/1.1 ", b"Server: s\r\n", b"\r\nbody\0", length=length)
    )
    if found[0] == "returned":
        section, end, body = found[1].partition(b"\r\n\r\n")
        assert (end, body) == (b"\r\n\r\n", b"\r\nbody\0")
        lines = section.split(b"\r\n")
        assert len(lines) == 2 + len(head.headers) - (not length and head.content_length >= 0)
        assert not any(set(line) & set(b"\r\n\0") for line in lines)
    return found


def head_outcome(io: ModuleType, status: Any, headers: Any, change: Any) -> list[Outcome]:
    """All that can be seen of a head; `change`: what is done to its list on the way."""
    built = outcome(io.ResponseHead, status, headers)
    if built[0] != "returned":
        return [built]
    head = built[1]
    found = [visible(head), wire(head, True), wire(head, False)]
    kind, more = change
    if kind == "extend":
        before = len(head.headers)
        head.headers.extend(more)
        found += [visible(head), outcome(head.serialize, b"", b"")]
        del head.headers[before:]
    elif kind == "replace":
        found.append(outcome(setattr, head, "headers", more))
    return [*found, visible(head), wire(head, True), wire(head, False), ("list", head.headers)]


@given(statuses, lists, changes)
@example("200 OK", [("Content-Length", "5"), ("content-length", "5")], ("extend", [("A", "\n")]))
@example("200 OK", [("Connection", "close")], ("replace", [("Content-Length", "x")]))
@example("200 OK", [("A", "b")], ("replace", [("Connection", "close"), ("B", "\r")]))
def test_response_head(status: Any, headers: list[Any], change: tuple[str, list[Any]]) -> None:
    compiled, pure = (head_outcome(io, status, headers, change) for io in BOTH)
    assert compiled == pure


steps = st.one_of(
    st.tuples(
        st.sampled_from(["write", "write_chunk"]),
        st.binary(max_size=100) | st.binary(max_size=9).map(bytearray) | texts | st.none(),
    ),
    st.tuples(st.sampled_from(["end_chunks", "clear"])),
    st.tuples(st.sampled_from(["peek", "skip"]), st.integers(-3, 400)),
    st.tuples(st.just("flush")),
)


@given(st.lists(steps, max_size=40))
def test_output_buffer(script: list[tuple[Any, ...]]) -> None:
    seen = []
    for io in BOTH:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            buffer = io.OutputBuffer()
            found: list[Any] = []
            for name, *args in script:
                rest = [ours.fileno()] if name == "flush" else args
                result = outcome(getattr(buffer, name), *rest)
                found += [result, len(buffer)]
            buffer.flush(ours.fileno())
            ours.close()
            with theirs.makefile("rb") as stream:
                found.append(stream.read())
        seen.append(found)
    assert seen[0] == seen[1]
