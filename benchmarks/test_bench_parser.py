"""What a request costs in the kernel: its head, its environ, its chunked body.

Each `[compiled]` beside `[pure]` and, where they are installed, beside other parsers on the same
bytes. Those do more or less than ours: httptools calls back with bytes and makes no environ;
gunicorn_h1c checks less and makes the whole environ.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
from samples import API, BROWSER, HELLO  # shared with the tests

KINDS = {
    "compiled": ("cyserve._parser", "cyserve._io"),
    "pure": ("cyserve._pyparser", "cyserve._pyio"),
}
OURS = [kind for kind, names in KINDS.items() if find_spec(names[0])]
RIVALS = [name for name in ("httptools", "gunicorn_h1c") if find_spec(name)]

HEADS = {"hello": HELLO, "browser": BROWSER, "api": API.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"}
TEMPLATE: dict[str, Any] = {
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": False,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
    "wsgi.file_wrapper": object,
    "wsgi.input_terminated": True,
    "SERVER_SOFTWARE": "cyserve",
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "8000",
    "SCRIPT_NAME": "",
    "gunicorn.socket": object(),
    "REMOTE_ADDR": "127.0.0.1",
    "REMOTE_PORT": "50000",
}


class Callbacks:
    """What a server on httptools collects."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.body.append(body)


def head_parser(kind: str, data: bytes) -> Callable[[], Any]:
    """A function that parses the same head once per call, from bytes just received."""
    if kind == "httptools":
        httptools = import_module("httptools")

        def with_httptools() -> Any:
            callbacks = Callbacks()
            httptools.HttpRequestParser(callbacks).feed_data(data)
            return callbacks.headers

        return with_httptools
    if kind == "gunicorn_h1c":
        parse_fast = import_module("gunicorn_h1c").parse_request_fast
        return lambda: parse_fast(data).headers
    parser, io = map(import_module, KINDS[kind])
    buffer, rules, parse = io.InputBuffer(), parser.HeadRules(), parser.parse_head

    def with_cyserve() -> Any:
        buffer.feed(data)
        return parse(buffer, rules).headers

    return with_cyserve


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("kind", [*OURS, *RIVALS])
def test_parse(benchmark: Any, kind: str, name: str) -> None:
    benchmark.group = f"parse {name}"
    assert len(benchmark(head_parser(kind, HEADS[name]))) == HEADS[name].count(b"\r\n") - 2


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("kind", [*OURS, *(name for name in RIVALS if name == "gunicorn_h1c")])
def test_parse_and_environ(benchmark: Any, kind: str, name: str) -> None:
    benchmark.group = f"parse and environ {name}"
    data = HEADS[name]
    if kind == "gunicorn_h1c":
        whole = import_module("gunicorn_h1c._parser").parse_to_wsgi_environ
        server, client = ("127.0.0.1", 8000), ("127.0.0.1", 50000)
        environ = benchmark(lambda: whole(data, server, client))
    else:
        parser, io = map(import_module, KINDS[kind])
        buffer, rules, parse = io.InputBuffer(), parser.HeadRules(), parser.parse_head

        def with_cyserve() -> Any:
            buffer.feed(data)
            return parse(buffer, rules).fill_environ(TEMPLATE)

        environ = benchmark(with_cyserve)
    assert environ["HTTP_HOST"]


def with_gunicorn(parser: str, data: bytes) -> Callable[[], Any]:
    """gunicorn's own way from bytes to environ, with the parser of that name (its setting)."""
    cfg = import_module("gunicorn.config").Config()
    cfg.set("http_parser", parser)
    request = import_module("gunicorn.http.message").Request
    unreader = import_module("gunicorn.http.unreader").IterUnreader
    create = import_module("gunicorn.http.wsgi").create
    server, client = ("127.0.0.1", 8000), ("127.0.0.1", 50000)

    def whole() -> Any:
        return create(request(cfg, unreader([data]), client), None, client, server, cfg)[1]

    return whole


@pytest.mark.skipif(find_spec("gunicorn") is None, reason="gunicorn is not installed")
@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("parser", ["python", "fast"])
def test_gunicorn_request_and_environ(benchmark: Any, parser: str, name: str) -> None:
    benchmark.group = f"parse and environ {name}"
    assert benchmark(with_gunicorn(parser, HEADS[name]))["HTTP_HOST"]


def chunked(total: int, size: int) -> bytes:
    return (b"%x\r\n%s\r\n" % (size, b"x" * size)) * (total // size) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [1024, 16, 65536])
@pytest.mark.parametrize("kind", [*OURS, *(name for name in RIVALS if name == "httptools")])
def test_chunked(benchmark: Any, kind: str, size: int) -> None:
    """A megabyte in chunks of `size`, received 64 KiB at a time; the pieces are not joined.

    (Joining measures how malloc returns a megabyte to the system, which is ten times as slow.)
    """
    total = 1 << 20
    benchmark.group = f"1 MiB in chunks of {size}"
    coded = chunked(total, size)
    pieces = [coded[at : at + 65536] for at in range(0, len(coded), 65536)]
    if kind == "httptools":
        httptools = import_module("httptools")
        start = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"

        def decode() -> int:
            callbacks = Callbacks()
            parser = httptools.HttpRequestParser(callbacks)
            parser.feed_data(start)
            for piece in pieces:
                parser.feed_data(piece)
            return sum(map(len, callbacks.body))
    else:
        parser, io = map(import_module, KINDS[kind])
        rules = parser.HeadRules()

        def decode() -> int:
            buffer = io.InputBuffer()
            decoder = parser.ChunkedDecoder(rules)
            body = []
            for piece in pieces:
                buffer.feed(piece)
                while data := decoder.decode(buffer, 65536):
                    body.append(data)
            assert decoder.done
            return sum(map(len, body))

    assert benchmark(decode) == total
