"""ResponseHead: what an application may send, what is left out, and what never gets through."""

from enum import Enum
from types import ModuleType
from typing import Any

import pytest

from cyserve._errors import InvalidResponseHeader, InvalidResponseHeaderName

TOKEN = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
VALUE = "\t" + "".join(chr(code) for code in [*range(0x20, 0x7F), *range(0x80, 0x100)])

Fields = list[tuple[str, str]]


def sent(io: ModuleType, headers: Any, status: str = "200 OK") -> bytes:
    """The fields as they go to the wire."""
    prefix = b"HTTP/1.1 " + status.encode("latin-1") + b"\r\n"
    wire: bytes = io.ResponseHead(status, headers).serialize(b"HTTP/1.1 ", b"")
    assert wire.startswith(prefix)
    assert wire.endswith(b"\r\n")
    return wire[len(prefix) : -2]


class TestStatus:
    @pytest.mark.parametrize(
        ("status", "code"),
        [
            ("200 OK", 200), ("200", 200), ("200 ", 200), ("200  OK ", 200), ("200 a\tb", 200),
            ("200 \xe9\x80\xff", 200), ("099 x", 99), ("000 x", 0), ("999 x", 999),
        ],
    )  # fmt: skip
    def test_good(self, io: ModuleType, status: str, code: int) -> None:
        head = io.ResponseHead(status, [])
        assert (head.status, head.status_code) == (status, code)
        assert head.serialize(b"HTTP/1.0 ", b"") == f"HTTP/1.0 {status}\r\n\r\n".encode("latin-1")

    @pytest.mark.parametrize(
        "status",
        [
            "", "20", "20 OK", "2000", "2000 OK", "OK 200", " 200 OK", "200-x", "200\tOK", "2 0 OK",
            "200\n", "200 OK\n", "200 OK\r\nX: y", "200 O\0K", "200 \x7f", "200 \u20ac",
            "\u0662\u0660\u0660 OK", "+20 OK", "-20 OK", "2_0 OK",
        ],
    )  # fmt: skip
    def test_bad(self, io: ModuleType, status: str) -> None:
        with pytest.raises(ValueError, match="Invalid status") as caught:
            io.ResponseHead(status, [])
        assert caught.value.args == (f"Invalid status {status!r}",)

    @pytest.mark.parametrize("status", [b"200 OK", None, 200])
    def test_not_text(self, io: ModuleType, status: Any) -> None:
        with pytest.raises(TypeError) as caught:
            io.ResponseHead(status, [])
        assert caught.value.args == (f"{status!r} is not a string",)

    def test_is_read_only(self, io: ModuleType) -> None:
        head = io.ResponseHead("200 OK", [])
        for name in ("status", "status_code", "content_length", "upgrade", "close"):
            with pytest.raises(AttributeError):
                setattr(head, name, getattr(head, name))


class TestNamesAndValues:
    def test_each_character_of_a_name(self, io: ModuleType) -> None:
        for code in [*range(0x180), 0x20AC, 0x1F600]:
            name = f"a{chr(code)}b"
            if chr(code) in TOKEN:
                assert sent(io, [(name, "v")]) == f"{name}: v\r\n".encode()
            else:
                with pytest.raises(InvalidResponseHeaderName) as caught:
                    io.ResponseHead("200 OK", [(name, "v")])
                assert caught.value.args == (repr(name),)

    def test_name_may_not_be_empty(self, io: ModuleType) -> None:
        with pytest.raises(InvalidResponseHeaderName):
            io.ResponseHead("200 OK", [("", "v")])

    @pytest.mark.parametrize("template", ["a{}b", "{}b", "a{}", "a" * 300 + "{}"])
    def test_each_character_of_a_value(self, io: ModuleType, template: str) -> None:
        for code in [*range(0x180), 0x20AC, 0x1F600]:
            value = template.format(chr(code))
            if chr(code) in VALUE:
                wire = "X-Name: " + value.strip(" \t") + "\r\n"
                assert sent(io, [("X-Name", value)]) == wire.encode("latin-1")
            else:
                with pytest.raises(InvalidResponseHeader) as caught:
                    io.ResponseHead("200 OK", [("X-Name", value)])
                assert caught.value.args == (repr("X-Name"),)

    @pytest.mark.parametrize("value", ["", " ", "\t \t", " v", "v ", "\tv w\t "])
    def test_blanks_around_a_value_are_not_sent(self, io: ModuleType, value: str) -> None:
        head = io.ResponseHead("200 OK", [("A", value)])
        assert head.serialize(b"", b"") == b"200 OK\r\nA: " + value.strip().encode() + b"\r\n\r\n"
        assert head.headers == [("A", value.strip())]

    def test_other_white_space_is_part_of_a_value(self, io: ModuleType) -> None:
        assert sent(io, [("A", "\xa0v\x85")]) == b"A: \xa0v\x85\r\n"

    def test_what_is_dropped_is_checked_too(self, io: ModuleType) -> None:
        with pytest.raises(InvalidResponseHeader):
            io.ResponseHead("200 OK", [("Server", "a\r\nX-Evil: b")])

    @pytest.mark.parametrize("bad", [b"a", None, 5])
    def test_names_and_values_that_are_not_text(self, io: ModuleType, bad: Any) -> None:
        for field in [(bad, "v"), ("n", bad)]:
            with pytest.raises(TypeError) as caught:
                io.ResponseHead("200 OK", [field])
            assert caught.value.args == (f"{bad!r} is not a string",)

    @pytest.mark.parametrize("field", [(), ("a",), ("a", "b", "c"), "ab", 5, None, {"a": "b"}])
    def test_what_is_not_a_pair(self, io: ModuleType, field: Any) -> None:
        with pytest.raises(TypeError) as caught:
            io.ResponseHead("200 OK", [("ok", "ok"), field])
        assert caught.value.args == (f"{field!r} is not a pair of name and value",)

    @pytest.mark.parametrize("headers", [None, 5, "ab", {"a": "b"}])
    def test_what_is_not_a_list_of_pairs(self, io: ModuleType, headers: Any) -> None:
        with pytest.raises(TypeError):
            io.ResponseHead("200 OK", headers)

    def test_other_sequences_and_iterators_are_understood(self, io: ModuleType) -> None:
        for headers in [(("A", "b"),), [["A", "b"]], iter([("A", "b")])]:
            assert sent(io, headers) == b"A: b\r\n"

    def test_an_iterator_that_fails(self, io: ModuleType) -> None:
        with pytest.raises(ZeroDivisionError):
            io.ResponseHead("200 OK", (("A", str(1 // n)) for n in (1, 0)))

    def test_subclasses_of_str_count_by_their_characters(self, io: ModuleType) -> None:
        class Text(str, Enum):
            NAME = "X-Name"
            VALUE = "value"
            STATUS = "200 OK"

        head = io.ResponseHead(Text.STATUS, [(Text.NAME, Text.VALUE)])
        assert head.serialize(b"", b"") == b"200 OK\r\nX-Name: value\r\n\r\n"
        assert [type(text) for text in (head.status, *head.headers[0])] == [str] * 3

    def test_large_fields(self, io: ModuleType) -> None:
        fields = [(f"N{size}-" + "n" * size, "v" * size) for size in range(0, 3000, 37)]
        assert sent(io, fields) == "".join(f"{n}: {v}\r\n" for n, v in fields).encode()
        assert io.ResponseHead("200 OK", fields).headers == fields


class TestWhatIsKept:
    def test_order_case_and_repetition(self, io: ModuleType) -> None:
        fields = [("set-cookie", "a=1"), ("X-b", "c"), ("Set-Cookie", "a=2"), ("x-B", "c")]
        head = io.ResponseHead("200 OK", fields)
        assert head.headers == fields
        assert head.serialize(b"", b"") == (
            b"200 OK\r\nset-cookie: a=1\r\nX-b: c\r\nSet-Cookie: a=2\r\nx-B: c\r\n\r\n"
        )

    @pytest.mark.parametrize(
        "name",
        [
            "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "TE",
            "Trailers", "Transfer-Encoding", "Upgrade", "Server", "Date",
        ],
    )  # fmt: skip
    def test_fields_of_the_server_are_dropped(self, io: ModuleType, name: str) -> None:
        for spelling in (name, name.lower(), name.upper(), name.swapcase()):
            assert sent(io, [("A", "1"), (spelling, "x"), ("B", "2")]) == b"A: 1\r\nB: 2\r\n"

    @pytest.mark.parametrize("name", ["Trailer", "Dates", "Dat", "Upgrade_", "Proxy-Connection"])
    def test_similar_names_are_kept(self, io: ModuleType, name: str) -> None:
        assert sent(io, [(name, "x")]) == f"{name}: x\r\n".encode()

    @pytest.mark.parametrize("value", ["websocket", "WebSocket", " WEBSOCKET\t"])
    def test_upgrade_to_websocket_is_kept(self, io: ModuleType, value: str) -> None:
        wire = f"Upgrade: {value.strip()}\r\n".encode()
        assert sent(io, [("Upgrade", value)]) == wire

    @pytest.mark.parametrize("value", ["h2c", "websockets", "websocket, h2c", "", "WEBSOCKE\xd4"])
    def test_other_upgrades_are_dropped(self, io: ModuleType, value: str) -> None:
        assert sent(io, [("Upgrade", value)]) == b""

    @pytest.mark.parametrize(
        ("value", "upgrade", "close"),
        [
            ("upgrade", True, False), ("Upgrade", True, False), (" close ", False, True),
            ("CLOSE", False, True), ("keep-alive, Upgrade", True, False),
            ("close,upgrade", True, True), ("closed", False, False), ("", False, False),
            ("keep-alive", False, False), ("close upgrade", False, False),
            (",,close\t,", False, True),
        ],
    )  # fmt: skip
    def test_options_of_connection(
        self, io: ModuleType, value: str, upgrade: bool, close: bool
    ) -> None:
        head = io.ResponseHead("200 OK", [("A", "1"), ("CONNECTION", value), ("B", "2")])
        assert (head.upgrade, head.close) == (upgrade, close)
        assert head.headers == [("A", "1"), ("B", "2")]

    def test_options_of_several_fields_add_up(self, io: ModuleType) -> None:
        fields = [("Connection", "close"), ("Connection", "upgrade"), ("Connection", "x")]
        head = io.ResponseHead("200 OK", fields)
        assert (head.upgrade, head.close) == (True, True)


class TestContentLength:
    @pytest.mark.parametrize(
        ("value", "length"), [("0", 0), ("13", 13), (" 5\t", 5), ("007", 7), ("9" * 18, 10**18 - 1)]
    )
    def test_good(self, io: ModuleType, value: str, length: int) -> None:
        head = io.ResponseHead("200 OK", [("content-LENGTH", value)])
        assert head.content_length == length
        assert head.headers == [("content-LENGTH", value.strip())]

    def test_none_given(self, io: ModuleType) -> None:
        assert io.ResponseHead("200 OK", [("Content-Lengths", "5")]).content_length == -1

    @pytest.mark.parametrize(
        "value",
        ["", "abc", "-5", "+5", "5_0", "0x5", "5, 5", "5 5", "1.0", "\xb2", "9" * 19, "1" * 4000],
    )
    def test_bad(self, io: ModuleType, value: str) -> None:
        with pytest.raises(ValueError, match="Invalid Content-Length") as caught:
            io.ResponseHead("200 OK", [("Content-Length", value)])
        assert caught.value.args == (f"Invalid Content-Length {value!r}",)

    def test_given_twice(self, io: ModuleType) -> None:
        fields = [("Content-Length", "5"), ("A", "b"), ("content-length", "05")]
        head = io.ResponseHead("200 OK", fields)
        assert head.headers == fields[:2]
        assert head.content_length == 5

    def test_given_twice_with_different_values(self, io: ModuleType) -> None:
        with pytest.raises(ValueError, match="Contradictory Content-Length '6'"):
            io.ResponseHead("200 OK", [("Content-Length", "5"), ("Content-Length", "6")])

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_left_out(self, io: ModuleType, place: int) -> None:
        fields = [("A", "1"), ("B", "2")]
        fields.insert(place, ("Content-Length", "5"))
        head = io.ResponseHead("204 No Content", fields)
        whole = head.serialize(b"", b"")
        assert head.serialize(b"", b"", length=False) == b"204 No Content\r\nA: 1\r\nB: 2\r\n\r\n"
        assert head.serialize(b"", b"") == whole
        assert b"Content-Length: 5\r\n" in whole


class TestSerialize:
    def test_everything_in_its_place(self, io: ModuleType) -> None:
        head = io.ResponseHead("404 Not Found", [("A", "b")])
        assert head.serialize(b"HTTP/1.1 ", b"Server: s\r\nDate: d\r\n", b"body\0\xff") == (
            b"HTTP/1.1 404 Not Found\r\nServer: s\r\nDate: d\r\nA: b\r\n\r\nbody\0\xff"
        )

    def test_large_body(self, io: ModuleType) -> None:
        body = bytes(range(256)) * 4096
        assert io.ResponseHead("200", []).serialize(b"", b"", body) == b"200\r\n\r\n" + body

    @pytest.mark.parametrize("bad", ["text", None, bytearray(b"x"), memoryview(b"x"), 5])
    def test_bytes_only(self, io: ModuleType, bad: Any) -> None:
        head = io.ResponseHead("200 OK", [])
        for args in [(bad, b"", b""), (b"", bad, b""), (b"", b"", bad)]:
            with pytest.raises(TypeError, match=f"bytes expected, not {type(bad).__name__}"):
                head.serialize(*args)

    def test_subclass_of_bytes(self, io: ModuleType) -> None:
        class Safe(bytes):
            pass

        assert io.ResponseHead("200", []).serialize(b"", b"", Safe(b"b")) == b"200\r\n\r\nb"


class TestHeadersList:
    def test_is_the_same_each_time(self, io: ModuleType) -> None:
        head = io.ResponseHead("200 OK", [("A", "b")])
        assert head.headers is head.headers

    def test_is_not_the_application_s(self, io: ModuleType) -> None:
        fields = [("A", "b")]
        head = io.ResponseHead("200 OK", fields)
        fields.append(("B", "c\r\n"))
        assert head.headers == [("A", "b")]
        assert head.serialize(b"", b"") == b"200 OK\r\nA: b\r\n\r\n"

    def test_changed_in_place(self, io: ModuleType) -> None:
        head = io.ResponseHead("200 OK", [("A", "b"), ("Content-Length", "5")])
        fields = head.headers
        fields.insert(0, ("X-First", " 1 "))
        fields[-1] = ("Content-Length", "6")
        fields.append(("Connection", "close"))
        assert head.content_length == 6
        assert head.close
        assert head.serialize(b"", b"") == (
            b"200 OK\r\nX-First: 1\r\nA: b\r\nContent-Length: 6\r\n\r\n"
        )
        fields.clear()
        assert head.content_length == -1
        assert head.serialize(b"", b"") == b"200 OK\r\n\r\n"

    def test_changed_for_the_worse(self, io: ModuleType) -> None:
        head = io.ResponseHead("200 OK", [("A", "b")])
        head.headers.append(("B", "c\r\nX-Evil: d"))
        with pytest.raises(InvalidResponseHeader):
            head.serialize(b"", b"")
        head.headers.pop()
        assert head.serialize(b"", b"") == b"200 OK\r\nA: b\r\n\r\n"

    def test_replaced(self, io: ModuleType) -> None:
        head = io.ResponseHead("200 OK", [("A", "b"), ("Content-Length", "5")])
        head.headers = (("B", " c "), ("Server", "s"), ("Connection", "upgrade"))
        assert head.headers == [("B", "c")]
        assert (head.content_length, head.upgrade) == (-1, True)
        assert head.serialize(b"", b"") == b"200 OK\r\nB: c\r\n\r\n"

    def test_reading_it_forgets_nothing(self, io: ModuleType) -> None:
        fields = [("Connection", "close, upgrade"), ("Content-Length", "5"), ("Upgrade", "h2c")]
        head = io.ResponseHead("200 OK", fields)
        assert head.headers == fields[1:2]
        assert (head.content_length, head.upgrade, head.close) == (5, True, True)

    @pytest.mark.parametrize("read_before", [True, False])
    def test_refused_replacement_leaves_all_as_it_was(
        self, io: ModuleType, read_before: bool
    ) -> None:
        head = io.ResponseHead("200 OK", [("A", "b"), ("Content-Length", "5")])
        if read_before:
            assert len(head.headers) == 2
        with pytest.raises(InvalidResponseHeader):
            head.headers = [("C", "d"), ("Content-Length", "6"), ("E", "\n")]
        with pytest.raises(TypeError):
            head.headers = None
        assert head.content_length == 5
        assert head.serialize(b"", b"") == b"200 OK\r\nA: b\r\nContent-Length: 5\r\n\r\n"

    def test_cannot_be_deleted(self, io: ModuleType) -> None:
        head = io.ResponseHead("200 OK", [])
        with pytest.raises((AttributeError, NotImplementedError)):
            del head.headers


@pytest.mark.parametrize(
    ("status", "fields", "whole"),
    [
        ("200 OK", [("Content-Length", "5")], True),
        ("200 OK", [("A", "b"), ("content-length", " 5 ")], True),
        ("404", [("Content-Length", "5")], True),
        ("200 OK", [("Content-Length", "4")], False),
        ("200 OK", [], False),
        ("101 Switching Protocols", [("Content-Length", "5")], False),
        ("204 No Content", [("Content-Length", "5")], False),
        ("304 Not Modified", [("Content-Length", "5")], False),
        ("200 OK", [("Content-Length", "5"), ("Connection", "close")], False),
        ("200 OK", [("Content-Length", "5"), ("Connection", "upgrade")], False),
    ],
)
def test_whole(io, status, fields, whole):
    head = io.ResponseHead(status, fields)
    assert head.whole(5) is whole
    head.headers.append(("Connection", "close"))
    assert head.whole(5) is False


def test_one_name_object_is_judged_alike_each_time(io):
    for _ in range(2):
        for name in ("X-Name", "x" * 20, "Content-Length", "Server"):
            head = io.ResponseHead("200 OK", [(name, "5"), ("Y", "z")])
            sent = [found for found, _ in head.headers]
            assert sent == (["Y"] if name == "Server" else [name, "Y"])
        for name in ("X Name", "X-Näme"):
            with pytest.raises(InvalidResponseHeaderName):
                io.ResponseHead("200 OK", [(name, "5")])
