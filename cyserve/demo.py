"""The bundled demo application: `cyserve cyserve.demo:app` and a browser or curl.

A plain WSGI callable with one route for each way an answer can travel: a page that shows what the
application was called with, a stream, the echo of an upload, a file by wsgi.file_wrapper, a sleep.
It needs nothing but a WSGI server.

May not be done here: anything a server needs. No module of cyserve imports this one. It shows its
visitor everything it is called with, so it is for trying things out and not for the public.
"""

import os
import platform
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from html import escape
from typing import IO, TYPE_CHECKING, NamedTuple, cast
from urllib.parse import quote
from wsgiref.util import FileWrapper

import cyserve
from cyserve import _accel

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ("app",)

PIECE = 64 * 1024  # bytes read or sent at a time
ECHO_IN_MEMORY = 1024 * 1024  # bytes; larger uploads go by way of a temporary file
ECHO_LIMIT = 256 * 1024 * 1024  # bytes
SLEEP_LIMIT = 60_000  # milliseconds
STREAM_PIECES = 6
STREAM_PAUSE = 0.2  # seconds between pieces

_counting = threading.Lock()
_served = 0


class Answer(NamedTuple):
    """What a route gives back; app() makes a WSGI response of it."""

    status: str
    headers: list[tuple[str, str]]
    body: Iterable[bytes]


class Route(NamedTuple):
    """A path, the methods it takes, what it is for, and how to try it with curl."""

    path: str
    methods: tuple[str, ...]
    answer: "Callable[[WSGIEnvironment], Answer]"
    meaning: str
    curl: str


def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Answer one request (PEP 3333)."""
    global _served
    with _counting:
        _served += 1
    method = environ["REQUEST_METHOD"]
    path = environ.get("PATH_INFO") or "/"
    route = _SLEEP if path.startswith("/sleep/") else _BY_PATH.get(path)
    if route is None:
        answer = _problem(environ, "404 Not Found", "There is nothing at this address.")
    elif method not in route.methods:
        answer = _problem(
            environ, "405 Method Not Allowed", "This address does not take this method."
        )
        answer.headers.append(("Allow", ", ".join(route.methods)))
    else:
        answer = route.answer(environ)
    start_response(answer.status, answer.headers)
    if method == "HEAD":
        if hasattr(answer.body, "close"):
            answer.body.close()
        return []
    return answer.body


# -- routes --


def _index(environ: "WSGIEnvironment") -> Answer:
    facts = {
        "kernel": _accel.implementation(),
        "pid of this worker": os.getpid(),
        "requests it has served": _served,
        "cyserve": cyserve.__version__,
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "client": environ.get("REMOTE_ADDR") or "unix socket",
    }
    base = _base_url(environ)
    body = _INDEX.format(
        facts="".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(str(value))}</dd></div>"
            for name, value in facts.items()
        ),
        routes="".join(_route_item(route, base) for route in ROUTES[1:]),
        environ="".join(
            f'<tr><th scope="row">{escape(key)}</th><td>{escape(_shown(value))}</td></tr>'
            for key, value in sorted(environ.items())
        ),
    )
    return _page("200 OK", "cyserve is running", body)


def _stream(environ: "WSGIEnvironment") -> Answer:
    def pieces() -> Iterator[bytes]:
        for n in range(1, STREAM_PIECES + 1):
            if n > 1:
                time.sleep(STREAM_PAUSE)
            yield f"piece {n} of {STREAM_PIECES}, sent at {time.strftime('%H:%M:%S')}\n".encode()

    return Answer("200 OK", [("Content-Type", "text/plain; charset=utf-8"), *_SAFE], pieces())


def _echo(environ: "WSGIEnvironment") -> Answer:
    if environ["REQUEST_METHOD"] in {"GET", "HEAD"}:
        return _page("200 OK", "Echo", _ECHO_FORM.format(start=_start(environ)))
    # Kept until it is complete: most clients send everything before they read anything.
    upload = cast(IO[bytes], tempfile.SpooledTemporaryFile(ECHO_IN_MEMORY))
    size = 0
    while piece := environ["wsgi.input"].read(PIECE):
        size += len(piece)
        if size > ECHO_LIMIT:
            upload.close()
            return _problem(
                environ, "413 Content Too Large", f"At most {ECHO_LIMIT >> 20} MiB, please."
            )
        upload.write(piece)
    upload.seek(0)
    kind = environ.get("CONTENT_TYPE") or "application/octet-stream"
    headers = [("Content-Type", kind), ("Content-Length", str(size)), *_SAFE]
    return Answer("200 OK", headers, FileWrapper(upload, PIECE))


def _file(environ: "WSGIEnvironment") -> Answer:
    source = open(__file__, "rb")  # the server closes it
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(os.fstat(source.fileno()).st_size)),
        *_SAFE,
    ]
    wrapper = environ.get("wsgi.file_wrapper", FileWrapper)
    return Answer("200 OK", headers, wrapper(source, PIECE))


def _sleep(environ: "WSGIEnvironment") -> Answer:
    wanted = environ["PATH_INFO"].removeprefix("/sleep/")
    if not re.fullmatch("[0-9]{1,6}", wanted) or int(wanted) > SLEEP_LIMIT:
        return _problem(
            environ, "400 Bad Request", f"Say /sleep/N with N from 0 to {SLEEP_LIMIT} ms."
        )
    time.sleep(int(wanted) / 1000)
    return _text("200 OK", f"slept {int(wanted)} ms\n")


ROUTES = (
    Route("/", ("GET", "HEAD"), _index, "this page", "curl {url}"),
    Route(
        "/stream",
        ("GET", "HEAD"),
        _stream,
        f"{STREAM_PIECES} pieces, one every {STREAM_PAUSE} s, sent as they are made",
        "curl -N {url}",
    ),
    Route(
        "/echo",
        ("GET", "HEAD", "POST", "PUT"),
        _echo,
        "sends an upload back as it came; in a browser a form",
        "echo hello | curl --data-binary @- {url}",
    ),
    Route(
        "/file", ("GET", "HEAD"), _file, "a file by sendfile: the source of this demo", "curl {url}"
    ),
    Route(
        "/sleep/250",
        ("GET", "HEAD"),
        _sleep,
        f"keeps the worker busy for N ms, at most {SLEEP_LIMIT}",
        "curl {url}",
    ),
)
_BY_PATH = {route.path: route for route in ROUTES}
_SLEEP = ROUTES[-1]


# -- text --


def _text(status: str, text: str) -> Answer:
    body = text.encode()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    return Answer(status, [*headers, *_SAFE], [body])


def _page(status: str, title: str, main: str) -> Answer:
    body = _PAGE.format(title=escape(title), style=_STYLE, main=main).encode()
    headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))]
    return Answer(status, [*headers, *_SAFE], [body])


def _problem(environ: "WSGIEnvironment", status: str, text: str) -> Answer:
    code, _, reason = status.partition(" ")
    return _page(
        status, reason, _PROBLEM.format(code=code, text=escape(text), start=_start(environ))
    )


def _shown(value: object) -> str:
    return value if isinstance(value, str) and value else repr(value)


def _base_url(environ: "WSGIEnvironment") -> str:
    """Return the address of this application as the client knows it."""
    host = environ.get("HTTP_HOST", "")
    if not re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", host):
        host = f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    path = quote(environ.get("SCRIPT_NAME", "").encode("latin-1"))
    return f"{environ['wsgi.url_scheme']}://{host}{path}"


def _start(environ: "WSGIEnvironment") -> str:
    return escape(_base_url(environ) + "/")


def _route_item(route: Route, base: str) -> str:
    url = base + route.path
    command = escape(route.curl.format(url=url))
    return (
        f'<li><a href="{escape(url)}">{escape(route.path)}</a> <span>{escape(route.meaning)}</span>'
        f"<code>{command}</code></li>"
    )


# No script, nothing loaded from elsewhere; what a client sent is never taken for a page of ours.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'"
_SAFE = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
)

_STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf7; --card: #fff; --ink: #1d2327; --soft: #5c666d;
  --line: #e2ded5; --accent: #0b6e5f; --code: #f1eee7; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181b; --card: #1c2226; --ink: #e6e9ea;
  --soft: #9aa6ad; --line: #2f383e; --accent: #5fd0bb; --code: #232b30; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
header, main, footer { max-width: 58rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.5rem; }
h1 { font-size: clamp(1.6rem, 5vw, 2.2rem); line-height: 1.2; letter-spacing: -.02em; margin: 0; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
p { margin: .4rem 0 0; color: var(--soft); max-width: 42rem; }
a { color: var(--accent); font-weight: 600; text-underline-offset: .2em; }
code, td, th[scope=row] { font: .86rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
dl { display: grid; grid-template-columns: repeat(3, 1fr); gap: 1px;
  margin: 1.75rem 0 0; background: var(--line); border: 1px solid var(--line);
  border-radius: .6rem; overflow: hidden; }
dl div { background: var(--card); padding: .8rem 1rem; }
dt { color: var(--soft); font-size: .82rem; }
dd { margin: 0; font-weight: 600; font-size: 1.05rem; overflow-wrap: anywhere; }
ul { list-style: none; margin: .9rem 0 0; padding: 0; }
li { border-top: 1px solid var(--line); padding: .8rem 0; }
li span { color: var(--soft); }
li code { display: block; margin-top: .4rem; padding: .5rem .75rem; background: var(--code);
  border-radius: .4rem; user-select: all; -webkit-user-select: all; overflow-wrap: anywhere; }
table { width: 100%; margin-top: .9rem; border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: .4rem .75rem .4rem 0;
  border-top: 1px solid var(--line); overflow-wrap: anywhere; }
th[scope=row] { width: 34%; color: var(--soft); }
form { display: grid; gap: 1rem; justify-items: start; margin-top: 1.5rem; }
button { font: inherit; font-weight: 600; color: var(--paper); background: var(--accent); border: 0;
  border-radius: .4rem; padding: .55rem 1.1rem; cursor: pointer; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
footer { color: var(--soft); font-size: .85rem; padding-top: 2rem; padding-bottom: 3rem; }
@media (max-width: 36rem) { dl { grid-template-columns: repeat(2, 1fr); }
  tr { display: block; border-top: 1px solid var(--line); padding: .45rem 0; }
  th, td, th[scope=row] { display: block; width: auto; border: 0; padding: 0; } }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' \
viewBox='0 0 8 8'%3E%3Crect width='8' height='8' rx='2' fill='%230b6e5f'/%3E%3C/svg%3E">
<style>{style}</style>
</head>
<body>
{main}
</body>
</html>
"""

_INDEX = """<header>
<h1>cyserve is running</h1>
<p>This is its demo application. It answers through the same server, worker and request path as an
application of yours would.</p>
</header>
<main>
<dl>{facts}</dl>
<section>
<h2>Try the other paths</h2>
<p>One click selects a whole command.</p>
<ul>{routes}</ul>
</section>
<section>
<h2>The environ of this request</h2>
<p>What the server called the application with (PEP 3333).</p>
<table>{environ}</table>
</section>
</main>
<footer>Meant for trying things out: it shows everything it is called with.</footer>"""

_ECHO_FORM = """<header>
<h1>Echo</h1>
<p>Choose a file and it comes straight back, in the envelope in which your browser sent it
(multipart/form-data), so most browsers offer to save it.</p>
</header>
<main>
<form method="post" enctype="multipart/form-data">
<label>File <input type="file" name="file" required></label>
<button>Send it and get it back</button>
</form>
</main>
<footer><a href="{start}">Back to the start</a></footer>"""

_PROBLEM = """<header>
<h1>{code}</h1>
<p>{text}</p>
</header>
<main></main>
<footer><a href="{start}">Back to the start</a></footer>"""
