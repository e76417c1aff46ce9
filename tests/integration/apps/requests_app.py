"""The application behind the HTTP tests: one small function for each path.

Function `a_b` answers /a-b. EVENTS remembers what happened inside an application when the client
could not be told; a later request to /events fetches and forgets it (so: one worker).
"""

import hashlib
import io
import json
import os
import sys
import time
from urllib.parse import parse_qs

EVENTS: list[str] = []
COUNTED = [0]
ROUTES = {}
MEGABYTE = 1 << 20


def route(function):
    ROUTES["/" + function.__name__.replace("_", "-")] = function
    return function


def app(environ, start_response):
    handler = ROUTES.get(environ["PATH_INFO"])
    if handler is None:
        start_response("404 Not Found", [("Content-Length", "0")])
        return []
    return handler(environ, start_response)


def answer(start_response, value, status="200 OK", headers=()):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    start_response(status, [("Content-Length", str(len(body))), *headers])
    return [body]


def query(environ):
    return {key: values[-1] for key, values in parse_qs(environ["QUERY_STRING"]).items()}


@route
def ok(environ, start_response):
    return answer(start_response, b"ok")


@route
def events(environ, start_response):
    seen, EVENTS[:] = EVENTS[:], []
    return answer(start_response, seen)


@route
def environ(environ, start_response):
    return answer(
        start_response,
        {
            key: value if isinstance(value, (str, bool, tuple)) else type(value).__name__
            for key, value in environ.items()
        },
    )


# -- request bodies --


def summary(pieces):
    data = b"".join(pieces)
    return {"length": len(data), "sha256": hashlib.sha256(data).hexdigest(), "pieces": len(pieces)}


@route
def echo(environ, start_response):
    return answer(start_response, environ["wsgi.input"].read())


@route
def by_read(environ, start_response):
    stream = environ["wsgi.input"]
    return answer(start_response, summary([stream.read(), stream.read(), stream.read(5)]))


@route
def by_sized_read(environ, start_response):
    pieces = iter(lambda: environ["wsgi.input"].read(60000), b"")
    return answer(start_response, summary(list(pieces)))


@route
def by_readline(environ, start_response):
    return answer(start_response, summary(list(iter(environ["wsgi.input"].readline, b""))))


@route
def by_sized_readline(environ, start_response):
    lines = list(iter(lambda: environ["wsgi.input"].readline(700), b""))
    assert all(len(line) <= 700 for line in lines)
    return answer(start_response, summary(lines))


@route
def by_readlines(environ, start_response):
    return answer(start_response, summary(environ["wsgi.input"].readlines()))


@route
def by_iteration(environ, start_response):
    return answer(start_response, summary(list(environ["wsgi.input"])))


@route
def input_rules(environ, start_response):
    stream = environ["wsgi.input"]
    results = {
        "read(0)": stream.read(0).decode(),
        "read(3)": stream.read(3).decode(),
        "readline(2)": stream.readline(2).decode(),
        "readline(0)": stream.readline(0).decode(),
        "readline(-1)": stream.readline(-1).decode(),
        "read(-1)": stream.read(-1).decode(),
        "read(None)": stream.read(None).decode(),
    }
    try:
        stream.read("1")
    except TypeError:
        results["read('1')"] = "TypeError"
    return answer(start_response, results)


@route
def record_read(environ, start_response):
    EVENTS.append("called")
    try:
        data = environ["wsgi.input"].read()
    except Exception as exc:
        EVENTS.append("OSError" if isinstance(exc, OSError) else type(exc).__name__)
        raise
    EVENTS.append(f"complete {len(data)}")
    return answer(start_response, data)


@route
def unread(environ, start_response):
    return answer(start_response, b"not read", "401 Unauthorized")


# -- responses --


@route
def status(environ, start_response):
    wanted = query(environ)
    headers = [("X-Wanted", wanted["line"])]
    if "length" in wanted:
        headers.append(("Content-Length", wanted["length"]))
    start_response(wanted["line"], headers)
    return [b"twelve bytes"]


@route
def early_hints(environ, start_response):
    hint = environ["wsgi.early_hints"]
    hint([("Link", "</style.css>; rel=preload"), ("X-Hint", "1")])
    hint([("Link", "</script.js>; rel=preload")])
    return answer(start_response, b"after the hints")


@route
def big_item(environ, start_response):
    return answer(start_response, b"0123456789abcdef" * (10 * MEGABYTE // 16))


@route
def big_generator(environ, start_response):
    start_response("200 OK", [])
    return (b"%07d\n" % number * 1280 for number in range(1024))


@route
def by_write(environ, start_response):
    write = start_response("200 OK", [])
    write(b"written, ")
    return [b"", b"returned"]


@route
def no_items(environ, start_response):
    start_response("200 OK", [("X-Kept", "yes")])
    return []


@route
def longer_than_announced(environ, start_response):
    start_response("200 OK", [("Content-Length", "4")])
    return [b"fo", b"ur", b" and more"]


@route
def hop_by_hop(environ, start_response):
    return answer(
        start_response,
        b"ok",
        headers=[
            ("Connection", "keep-alive"),
            ("Keep-Alive", "timeout=5"),
            ("Transfer-Encoding", "chunked"),
            ("Server", "mine"),
            ("Date", "today"),
            ("X-Own", "  kept\t"),
            ("x-lower", "CaseKept"),
        ],
    )


# -- application errors --


@route
def raise_before(environ, start_response):
    raise RuntimeError("raised before headers")


@route
def raise_after(environ, start_response):
    start_response("200 OK", [])
    yield b"first"
    raise RuntimeError("raised after headers")


@route
def exc_info(environ, start_response):
    start_response("200 OK", [("Content-Length", "9"), ("X-First", "yes")])
    try:
        raise RuntimeError("caught by the application")
    except RuntimeError:
        start_response("503 Service Unavailable", [("Content-Length", "5")], sys.exc_info())
    return [b"sorry"]


@route
def start_response_twice(environ, start_response):
    start_response("200 OK", [])
    start_response("200 OK", [])
    return [b"never"]


@route
def no_start_response(environ, start_response):
    return [b"never"]


@route
def text_body(environ, start_response):
    start_response("200 OK", [("Content-Length", "4")])
    return ["text"]


@route
def none_body(environ, start_response):
    start_response("200 OK", [])
    return None


@route
def bad_status(environ, start_response):
    start_response("OK 200", [])
    return [b"never"]


@route
def header_injection(environ, start_response):
    return answer(start_response, b"never", headers=[("X-A", "a\r\nX-B: b")])


@route
def bad_header_name(environ, start_response):
    return answer(start_response, b"never", headers=[("X A", "a")])


@route
def bad_header_type(environ, start_response):
    return answer(start_response, b"never", headers=[("X-A", 5)])


@route
def log_error(environ, start_response):
    environ["wsgi.errors"].write("first words to wsgi.errors\n")
    environ["wsgi.errors"].writelines(["second line, ", "in two pieces\n"])
    environ["wsgi.errors"].flush()
    return answer(start_response, b"logged")


# -- closing --


class Closing:
    """An iterable that counts its close() calls in EVENTS."""

    def __init__(self, items, error=None):
        self.items, self.error = items, error

    def __iter__(self):
        yield from self.items
        if self.error is not None:
            raise self.error

    def close(self):
        EVENTS.append("closed")


@route
def closing(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return Closing([b"o", b"k"])


@route
def closing_error(environ, start_response):
    start_response("200 OK", [])
    return Closing([b"first"], RuntimeError("raised while iterating"))


@route
def closing_endless(environ, start_response):
    start_response("200 OK", [])
    return Closing(b"x" * 65536 for _ in range(10**9))


@route
def closing_file(environ, start_response):
    class File(io.BytesIO):
        def close(self):
            EVENTS.append("closed")
            super().close()

    start_response("200 OK", [("Content-Length", "4")])
    return environ["wsgi.file_wrapper"](File(b"file"))


# -- files --


@route
def send_file(environ, start_response):
    """?path=...[&offset=N][&length=N]: by wsgi.file_wrapper."""
    wanted = query(environ)
    file = open(wanted["path"], "rb")
    file.seek(int(wanted.get("offset", "0")))
    headers = [("Content-Length", wanted["length"])] if "length" in wanted else []
    start_response("200 OK", headers)
    return environ["wsgi.file_wrapper"](file, 8192)


@route
def send_bytesio(environ, start_response):
    start_response("200 OK", [("Content-Length", "100000")])
    return environ["wsgi.file_wrapper"](io.BytesIO(b"0123456789" * 10000))


@route
def nap(environ, start_response):
    """Keeps this worker busy, so that a second request goes to another one."""
    time.sleep(0.05)
    return answer(start_response, b"")


@route
def worker(environ, start_response):
    return answer(start_response, os.getpid())


@route
def busy(environ, start_response):
    """?release=PATH: keeps its worker busy, without ever waiting, until that file is there."""
    path = query(environ)["release"]
    open(f"{path}.begun", "w").close()
    while not os.path.exists(path):
        pass
    return answer(start_response, os.getpid())


@route
def count(environ, start_response):
    """How many requests have come here so far."""
    COUNTED[0] += 1
    return answer(start_response, COUNTED[0])


@route
def sized(environ, start_response):
    """?n=BYTES: that many, in one item."""
    return answer(start_response, b"s" * int(query(environ)["n"]))
