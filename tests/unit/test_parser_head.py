"""parse_head and RequestHead: what is left in the buffer, what is judged when, the environ."""

from types import ModuleType
from typing import Any

import pytest
from samples import API, BROWSER, HELLO, SAMPLES

from cyserve import _grammar
from cyserve._errors import (
    InvalidHeader,
    InvalidHeaderName,
    InvalidRequestLine,
    InvalidRequestMethod,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)

Kernel = tuple[ModuleType, ModuleType]


def parse(kernel: Kernel, data: bytes, **options: Any) -> Any:
    parser, io, _ = kernel
    return parser.parse_head(io.InputBuffer(data), parser.HeadRules(**options))


class TestIncomplete:
    @pytest.mark.parametrize("name", list(SAMPLES))
    def test_nothing_is_consumed_before_the_end(self, kernel: Kernel, name: str) -> None:
        parser, io, _ = kernel
        data = SAMPLES[name].partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        for rules in (parser.HeadRules(), parser.HeadRules(permit_obsolete_folding=True)):
            buffer = io.InputBuffer()
            for at in range(len(data)):
                assert parser.parse_head(buffer, rules) is None
                assert buffer.peek(len(data)) == data[:at]
                assert parser.parse_head(io.InputBuffer(data[:at]), rules) is None
                buffer.feed(data[at : at + 1])
            assert parser.parse_head(buffer, rules).size == len(data)
            assert len(buffer) == buffer.scanned == 0

    def test_lines_that_ended_are_not_searched_again(self, kernel: Kernel) -> None:
        parser, io, _ = kernel
        rules = parser.HeadRules()
        buffer = io.InputBuffer(b"GET / HTTP/1.1")
        assert parser.parse_head(buffer, rules) is None
        assert buffer.scanned == 0
        for piece, scanned in ((b"\r", 0), (b"\n", 16), (b"Host: a\r\nB", 25), (b": c", 25)):
            buffer.feed(piece)
            assert parser.parse_head(buffer, rules) is None
            assert buffer.scanned == scanned

    def test_an_error_consumes_nothing(self, kernel: Kernel) -> None:
        parser, io, _ = kernel
        for data in (b"GET\r\n", b"GET / HTTP/1.1\r\n: x\r\n\r\n"):
            buffer = io.InputBuffer(data)
            for _ in range(2):
                with pytest.raises(ParseException):
                    parser.parse_head(buffer, parser.HeadRules())
            assert buffer.peek(99) == data


class TestJudgedAtOnce:
    """What need not wait for the end of the head does not."""

    def test_request_line(self, kernel: Kernel) -> None:
        with pytest.raises(InvalidRequestMethod):
            parse(kernel, b"get / HTTP/1.1\r\n")
        assert parse(kernel, b"get / HTTP/1.1\r") is None

    def test_bare_lf(self, kernel: Kernel) -> None:
        with pytest.raises(InvalidRequestLine, match="bare LF"):
            parse(kernel, b"GET / HTTP/1.1\n")
        with pytest.raises(InvalidHeader, match="bare LF"):
            parse(kernel, b"GET / HTTP/1.1\r\nHost: a\n")

    def test_fields_wait(self, kernel: Kernel) -> None:
        assert parse(kernel, b"GET / HTTP/1.1\r\nBad Name: a\r\n") is None
        with pytest.raises(InvalidHeaderName):
            parse(kernel, b"GET / HTTP/1.1\r\nBad Name: a\r\n\r\n")

    def test_bare_lf_goes_before_what_waited(self, kernel: Kernel) -> None:
        with pytest.raises(InvalidHeader, match="bare LF"):
            parse(kernel, b"GET / HTTP/1.1\r\nBad Name: a\r\nB: c\nD: e\r\n\r\n")

    @pytest.mark.parametrize("start", [b"", b"\r\n"])
    def test_long_request_line(self, kernel: Kernel, start: bytes) -> None:
        data = start + b"GET /" + b"a" * 7
        assert parse(kernel, data, limit_request_line=10) is None
        with pytest.raises(LimitRequestLine) as caught:
            parse(kernel, data + b"a", limit_request_line=10)
        assert caught.value.args == (13, 10)

    def test_long_field(self, kernel: Kernel) -> None:
        data = b"GET / HTTP/1.1\r\nA: " + b"b" * 6
        assert parse(kernel, data, limit_request_field_size=10) is None
        with pytest.raises(LimitRequestHeaders):
            parse(kernel, data + b"b", limit_request_field_size=10)

    def test_fields_without_end(self, kernel: Kernel) -> None:
        parser, io, _ = kernel
        rules = parser.HeadRules(limit_request_fields=3, limit_request_field_size=20)
        buffer = io.InputBuffer(b"GET / HTTP/1.1\r\n")
        most = 3 * (20 + 2) + 4
        for _ in range(most):
            buffer.feed(b"A:\r\n"[len(buffer) % 4 :][:1])
            assert parser.parse_head(buffer, rules) is None
        buffer.feed(b"x")
        with pytest.raises(LimitRequestHeaders, match="max buffer headers"):
            parser.parse_head(buffer, rules)


class TestLimits:
    def test_zero_and_beyond(self, parser: ModuleType) -> None:
        rules = parser.HeadRules(
            limit_request_line=0, limit_request_fields=0, limit_request_field_size=0
        )
        assert rules.limit_request_line == rules.limit_request_field_size == _grammar.MAX_HEAD
        assert rules.limit_request_fields == 32768
        assert parser.HeadRules(limit_request_fields=99999).limit_request_fields == 32768
        assert parser.HeadRules(limit_request_line=70000).limit_request_line == 70000

    def test_request_line_beyond_8190(self, kernel: Kernel) -> None:
        data = b"GET /" + b"a" * 19_986 + b" HTTP/1.1\r\n\r\n"
        assert len(parse(kernel, data, limit_request_line=20_000).path) == 19_987
        with pytest.raises(LimitRequestLine):
            parse(kernel, data, limit_request_line=19_999)

    @pytest.mark.parametrize("count", [1, 39, 48, 49, 100])
    def test_any_number_of_fields(self, kernel: Kernel, count: int) -> None:
        fields = [(f"X-{number}", "v" * number) for number in range(count)]
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields).encode()
        data = b"GET / HTTP/1.1\r\n" + lines + b"\r\n"
        assert parse(kernel, data, limit_request_fields=count).headers == fields
        with pytest.raises(LimitRequestHeaders, match="limit request headers fields$"):
            parse(kernel, data[:-2] + b"A: b\r\n\r\n", limit_request_fields=count)


class TestHead:
    def test_it_outlives_the_buffer(self, kernel: Kernel) -> None:
        parser, io, _ = kernel
        rules = parser.HeadRules(scheme_headers=("X-TENANT-SHARD",))
        buffer = io.InputBuffer(API)
        head = parser.parse_head(buffer, rules)
        assert buffer.take(99) == b'{"quantity": 3}'
        del rules
        buffer.feed(b"\0" * len(API))
        buffer.skip(len(API))
        buffer.release()
        environ = head.fill_environ({})
        assert environ["HTTP_X_TENANT_SHARD"] == "eu-7"
        assert environ["PATH_INFO"] == "/api/v1/orders/caf\xc3\xa9"
        assert ("X-IDEMPOTENCY-TOKEN", "6c1f0e2a") in head.headers
        assert head.request_line() == b"POST /api/v1/orders/caf%C3%A9?dry_run=1 HTTP/1.1"

    def test_headers_are_one_list(self, kernel: Kernel) -> None:
        head = parse(kernel, HELLO)
        assert head.headers is head.headers
        head.headers.append(("X-ADDED", "by a hook"))
        environ = head.fill_environ({})
        assert environ["HTTP_X_ADDED"] == "by a hook"
        head.headers = [("HOST", "another"), ("CONTENT-LENGTH", "3"), ("COOKIE", "a")]
        head.headers += [("COOKIE", "b"), ("A-B", "1"), ("A_B", "2")]
        environ = head.fill_environ({})
        assert {key: environ[key] for key in environ if key[:5] in {"HTTP_", "CONTE"}} == {
            "HTTP_HOST": "another",
            "CONTENT_LENGTH": "3",
            "HTTP_COOKIE": "a; b",
            "HTTP_A_B": "1,2",
        }

    @pytest.mark.parametrize(
        "line",
        ["GET / HTTP/1.1", "GET /?a=b HTTP/1.1", "HEAD / HTTP/1.1", "GET / HTTP/1.0",
         "POST /%41?q HTTP/1.1", "GET / HTTP/1.7"],
    )  # fmt: skip
    def test_a_ready_template_makes_no_difference(self, kernel: Kernel, line: str) -> None:
        head = parse(kernel, f"{line}\r\nHost: h\r\n\r\n".encode())
        ready = head.fill_environ({"A": 1, **_grammar.READY_ENVIRON}, True)
        assert ready == head.fill_environ({"A": 1})

    @pytest.mark.parametrize(
        ("line", "fields", "plain"),
        [
            ("GET / HTTP/1.1", "", True),
            ("POST /a HTTP/1.1", "Content-Length: 3\r\n", True),
            ("HEAD / HTTP/1.1", "", False),
            ("GET / HTTP/1.0", "", False),
            ("GET / HTTP/1.1", "Expect: 100-continue\r\n", False),
            ("GET / HTTP/1.1", "A_B: c\r\n", False),
            ("GET / HTTP/1.1", "Folded: a\r\n b\r\n", True),
        ],
    )
    def test_plain(self, kernel: Kernel, line: str, fields: str, plain: bool) -> None:
        sent = f"{line}\r\nHost: h\r\n{fields}\r\n".encode()
        assert parse(kernel, sent, permit_obsolete_folding=True).plain() is plain

    def test_environ_is_a_copy(self, kernel: Kernel) -> None:
        template = {"SERVER_NAME": "here", "HTTP_ACCEPT": "first"}
        head = parse(kernel, HELLO)
        environ = head.fill_environ(template)
        assert template == {"SERVER_NAME": "here", "HTTP_ACCEPT": "first"}
        assert environ == {
            "SERVER_NAME": "here",
            "REQUEST_METHOD": "GET",
            "RAW_URI": "/",
            "QUERY_STRING": "",
            "PATH_INFO": "/",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "localhost:8000",
            "HTTP_USER_AGENT": "curl/8.5.0",
            "HTTP_ACCEPT": "first,*/*",
        }
        environ["HTTP_HOST"] = "changed"
        assert head.fill_environ(template)["HTTP_HOST"] == "localhost:8000"

    def test_environ_holds_str_only(self, kernel: Kernel) -> None:
        environ = parse(kernel, BROWSER).fill_environ({})
        assert len(environ) == 5 + 15
        assert {type(value) for value in environ.values()} == {str}

    def test_every_common_name_in_every_case(self, kernel: Kernel) -> None:
        single = {"CONTENT-LENGTH", "TRANSFER-ENCODING"}
        for name in set(_grammar.COMMON_FIELDS) - single:
            for spelling in (name, name.lower(), name.title(), name.swapcase()):
                head = parse(kernel, f"GET / HTTP/1.1\r\n{spelling}: a\r\n\r\n".encode())
                assert head.headers == [(name, "a")]
                assert head.fill_environ({})[_grammar.environ_key(name)] == "a"
                assert head.flags == _grammar.field_flags(name, ()) & ~_grammar.FRAMES

    def test_each_byte_of_a_common_name_counts(self, kernel: Kernel) -> None:
        name = b"x-forwarded-for"
        for at in range(len(name)):
            for byte in range(256):
                other = name[:at] + bytes([byte]) + name[at + 1 :]
                data = b"GET / HTTP/1.1\r\n" + other + b": a\r\n\r\n"
                if byte in _grammar.TOKEN:
                    found = other.decode("latin-1").upper()
                    assert parse(kernel, data).headers == [(found, "a")]
                elif byte != ord(":") or at == 0:
                    with pytest.raises((InvalidHeader, InvalidHeaderName)):
                        parse(kernel, data)

    @pytest.mark.parametrize("size", [0, 1, 6, 7, 8, 9, 15, 16, 17, 40])
    def test_each_byte_of_a_value_counts(self, kernel: Kernel, size: int) -> None:
        for byte in range(256):
            value = b"v" * size + bytes([byte]) + b"w" * 9
            data = b"GET / HTTP/1.1\r\nA: " + value + b"\r\n\r\n"
            if byte in _grammar.VALUE:
                expected = value.strip(b" \t").decode("latin-1")
                assert parse(kernel, data).headers == [("A", expected)]
            else:
                with pytest.raises(InvalidHeader):
                    parse(kernel, data)

    @pytest.mark.parametrize("form", [b"GE%cT / HTTP/1.1", b"GET /a%cb HTTP/1.1"])
    def test_each_byte_of_a_request_line_counts(self, kernel: Kernel, form: bytes) -> None:
        allowed = _grammar.METHOD if b"/a" not in form else _grammar.TARGET
        for byte in range(256):
            data = form % byte + b"\r\n\r\n"
            if byte in allowed:
                assert parse(kernel, data).request_line() == form % byte
            else:
                with pytest.raises(ParseException):
                    parse(kernel, data)

    def test_wrong_types(self, kernel: Kernel) -> None:
        parser, io, _ = kernel
        for arguments in (
            (b"GET / HTTP/1.1\r\n\r\n", parser.HeadRules()),
            (io.InputBuffer(), None),
        ):
            with pytest.raises((TypeError, AttributeError)):
                parser.parse_head(*arguments)
