"""What the compat tests serve: an answer spelled out in the query, and the environ as it is.

GET /say?JSON answers as the JSON says (see `say`); everything else goes to requests_app. It must
run under gunicorn as well, so it may import nothing of cyserve.
"""

import io
import json
import sys
import types
from urllib.parse import unquote

import requests_app


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/say":
        return say(environ, start_response, **json.loads(unquote(environ["QUERY_STRING"])))
    if path in {"/dump", "dump"}:
        return requests_app.answer(start_response, dump(environ))
    if path == "/echo-socket":
        return echo_socket(environ, start_response)
    if path == "/big-iterable":
        start_response("200 OK", [])
        return iter([b"0123456789" * 10000] * 3)
    if path.startswith(("/end", "/mark")):
        return requests_app.answer(start_response, b"<end>")
    return requests_app.app(environ, start_response)


class Items:
    """The body as an iterable without a length; close() is logged."""

    def __init__(self, environ, items, error, logs):
        self.environ, self.items, self.error, self.logs = environ, items, error, logs

    def __iter__(self):
        yield from self.items
        if self.error:
            raise EXCEPTIONS[self.error]("raised while iterating")

    def close(self):
        if self.logs:
            self.environ["wsgi.errors"].write("closed\n")


EXCEPTIONS = {
    "RuntimeError": RuntimeError,
    "OSError": OSError,
    "ConnectionResetError": ConnectionResetError,
    "SystemExit": SystemExit,
    "StopIteration": StopIteration,
}


def say(
    environ,
    start_response,
    status="200 OK",
    fields=(),
    items=("hello",),
    times=1,
    kind="list",
    hints=(),
    read=False,
    error="",
    late_error="",
    again=None,
    writes=(),
    offset=0,
    closing=False,
):
    """Answers as told.

    kind: list, tuple, iterable, file (by file_wrapper over a file on disk), memory (over BytesIO),
    text or none; times: each item repeated; hints: lists of fields for early hints; read: read the
    body first; error: raised before start_response; late_error: after the items; again: status and
    fields of a second start_response, with exc_info if there is a third item; writes: given to the
    write callable; offset: where the file is read from; closing: log the call of close().
    """
    pieces = [item.encode("latin-1") * times for item in items]
    if read:
        pieces.append(environ["wsgi.input"].read())
    if error:
        raise EXCEPTIONS[error]("raised before start_response")
    for hint in hints:
        environ["wsgi.early_hints"]([tuple(field) for field in hint])
    write = start_response(status, [tuple(field) for field in fields])
    if again is not None and len(again) > 2:
        for piece in writes:
            write(piece.encode("latin-1"))
        writes = ()
        try:
            raise RuntimeError("caught by the application")
        except RuntimeError:
            start_response(again[0], [tuple(field) for field in again[1]], sys.exc_info())
    elif again is not None:
        start_response(again[0], [tuple(field) for field in again[1]])
    for piece in writes:
        write(piece.encode("latin-1"))
    if kind == "file":
        with open("body.tmp", "wb") as file:
            file.write(b"".join(pieces))
        file = open("body.tmp", "rb")
        file.seek(offset)
        return environ["wsgi.file_wrapper"](file)
    if kind == "memory":
        return environ["wsgi.file_wrapper"](io.BytesIO(b"".join(pieces)))
    if kind == "text":
        return list(items)
    if kind == "none":
        return None
    if kind == "iterable":
        return Items(environ, pieces, late_error, closing)
    return tuple(pieces) if kind == "tuple" else pieces


def dump(environ):
    """Every key with its value, or with what it can do where it is an object of the server."""
    return {
        key: repr(environ[key]) if type(environ[key]) in PLAIN else kind_of(environ[key])
        for key in sorted(environ)
    }


PLAIN = {str, bytes, bool, int, tuple, type(None)}
ABILITIES = "__iter__ __next__ __getitem__ read readline readlines write close seek fileno".split()


def kind_of(value):
    """The nearest class of Python's own that it belongs to, and which of ABILITIES it has."""
    if isinstance(value, types.MethodType | types.FunctionType | types.BuiltinMethodType):
        return "callable"
    cls = value if isinstance(value, type) else type(value)
    base = next(base for base in cls.__mro__ if base.__module__ in {"builtins", "io", "socket"})
    able = [name for name in ABILITIES if base is object and hasattr(value, name)]
    return " ".join(["class" if cls is value else "a", base.__name__, *able])


def echo_socket(environ, start_response):
    """Takes the socket over, as a WebSocket library does: upper-cases one message."""
    start_response(
        "101 Switching Protocols", [("Upgrade", "websocket"), ("Connection", "Upgrade")]
    )(b"")
    sock = environ["gunicorn.socket"]
    sock.sendall(sock.recv(100).upper())
    return []
