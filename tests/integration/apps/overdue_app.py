"""The application behind the tests of request_timeout: every way of taking too long.

/fast answers at once with the pid of its worker; a path with a number (/naps/1.5) takes that long.
"""

import math
import os
import re
import time

from cyserve.http.overdue import RequestOverdue


def naps(seconds):
    """Sleep so that an exception comes through."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def swallow(seconds):
    try:
        naps(seconds)
    except RequestOverdue:
        naps(seconds)


def backtrack(seconds):
    """Hold the GIL in C code, where nobody can interrupt, for about that long; then give it up."""
    pattern = re.compile("(a+)+$")
    tries = []
    for _ in range(3):
        begun = time.monotonic()
        pattern.match("a" * 18 + "b")
        tries.append(time.monotonic() - begun)
    # Each letter doubles it. All in one match: between two the watch could have its word.
    pattern.match("a" * (18 + math.ceil(math.log2(seconds / min(tries)))) + "b")
    naps(1)


WAYS = {"naps": naps, "spin": spin, "sleep": time.sleep, "swallow": swallow, "backtrack": backtrack}


def half(start_response, seconds):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"half"
    naps(seconds)
    yield b"rest"


def app(environ, start_response):
    _, way, *seconds = environ["PATH_INFO"].split("/")
    set_timeout = environ.get("cyserve.set_timeout")
    if environ["QUERY_STRING"]:
        set_timeout(float(environ["QUERY_STRING"]))
    if way in WAYS:
        WAYS[way](float(seconds[0]))
    elif way == "half":
        return half(start_response, float(seconds[0]))
    elif way == "read":
        environ["wsgi.input"].read()
    body = f"{os.getpid()} {set_timeout is not None}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
