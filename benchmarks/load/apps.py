"""The WSGI applications that are served while measuring; each does as little as its case allows.

A copy named `load_apps.py` is put into the run's temporary directory, so that serving it puts no
source tree on a server's import path and writes nothing into the checkout. Only the standard
library may be imported, and nothing at all from this package.
"""

import os
import time
from wsgiref.util import FileWrapper

HELLO = b"Hello, World!"
BIG = b"x" * 100_000
PIECE = b"x" * 16_384
MEGABYTE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "megabyte.bin")


def hello(environ, start_response):
    """Answers 13 bytes."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [HELLO]


def upload(environ, start_response):
    """Reads the whole request body, 16 KB at a time, and answers how long it was."""
    read = environ["wsgi.input"].read
    size = 0
    while data := read(16_384):
        size += len(data)
    body = b"%d" % size
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def big(environ, start_response):
    """Answers 100 KB in one piece."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(BIG)))])
    return [BIG]


def pieces(environ, start_response):
    """Answers 256 KB in 16 pieces, with its length known."""
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(16 * len(PIECE)))]
    start_response("200 OK", headers)
    return (PIECE for _ in range(16))


def file(environ, start_response):
    """Answers a file of 1 MB the server's own way, where it has one."""
    opened = open(MEGABYTE, "rb")  # the server closes it
    size = os.fstat(opened.fileno()).st_size
    headers = [("Content-Type", "application/octet-stream"), ("Content-Length", str(size))]
    start_response("200 OK", headers)
    return environ.get("wsgi.file_wrapper", FileWrapper)(opened, 65_536)


def scene(environ, start_response):
    """What the scenarios ask for, by path; anything else is hello.

    /sleep/MS: hello after MS milliseconds. /compute/N: hello after N turns of a loop in Python.
    /pid: the number of the process that answers.
    """
    _, what, *more = environ["PATH_INFO"].split("/")
    body = HELLO
    if what == "sleep":
        time.sleep(float(more[0]) / 1000)
    elif what == "compute":
        turns(int(more[0]))
    elif what == "pid":
        body = b"%d" % os.getpid()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def turns(count):
    """Pure computing that holds the interpreter's lock from beginning to end."""
    total = 0
    for number in range(count):
        total += number & 7
    return total
