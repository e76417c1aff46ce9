"""The application of the training (benchmarks/training.py): what is answered goes by the path.

Copied beside `load_apps` under the name `load_training`; see there for what may be imported.
"""

import load_apps

PIECES = (b"<ul>", b"<li>one</li>" * 10, b"<li>two</li>" * 20, b"</ul>")


def several(environ, start_response):
    """Answers some pieces, with their length told."""
    length = str(sum(map(len, PIECES)))
    start_response("200 OK", [("Content-Type", "text/html"), ("Content-Length", length)])
    return list(PIECES)


def untold(environ, start_response):
    """Answers them one after another, their length untold."""
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Vary", "Cookie")])
    yield from PIECES


def page(environ, start_response):
    """Answers as the frameworks do: more fields, a cookie, a body of some KB."""
    body = b"x" * 6_000
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Vary", "Accept-Encoding, Cookie"),
        ("X-Frame-Options", "DENY"),
        ("X-Content-Type-Options", "nosniff"),
        ("Cache-Control", "private, max-age=60"),
        ("Set-Cookie", "sessionid=f3a9c1d2e4b5a6978899aabbccddeeff; HttpOnly; Path=/"),
    ]
    start_response("200 OK", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def unchanged(environ, start_response):
    """Answers that nothing has changed."""
    start_response("304 Not Modified", [("ETag", '"1"')])
    return []


def missing(environ, start_response):
    """Answers that there is nothing of that name."""
    start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "9")])
    return [b"not found"]


PATHS = {
    "/": load_apps.hello,
    "/upload": load_apps.upload,
    "/big": load_apps.big,
    "/pieces": load_apps.pieces,
    "/file": load_apps.file,
    "/several": several,
    "/untold": untold,
    "/page": page,
    "/unchanged": unchanged,
}


def app(environ, start_response):
    return PATHS.get(environ["PATH_INFO"], missing)(environ, start_response)
