"""The demo application: every route by way of wsgiref's validator, and what its pages show."""

import io
import os
import platform
import re
from pathlib import Path
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

import cyserve
from cyserve import _accel, demo

PATHS = ["/", "/stream", "/echo", "/file", "/sleep/0", "/sleep/x", "/nothing"]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(demo, "STREAM_PAUSE", 0)


def call(path, method="GET", body=b"", **more):
    """Call the application as a server would; return status code, headers and body pieces."""
    environ = {"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path}
    environ["QUERY_STRING"] = ""
    environ["HTTP_HOST"] = "demo.example:8000"
    environ["wsgi.input"] = io.BytesIO(body)
    environ.update(more)
    setup_testing_defaults(environ)
    started = []

    def start_response(status, headers, exc_info=None):
        started.append((int(status[:3]), dict(headers)))
        return None

    result = validator(demo.app)(environ, start_response)
    pieces = list(result)
    result.close()
    return *started[-1], pieces


@pytest.mark.parametrize("path", PATHS)
def test_lengths_and_kinds_are_right(path):
    code, headers, pieces = call(path)
    assert headers["Content-Type"] in {"text/html; charset=utf-8", "text/plain; charset=utf-8"}
    if path == "/stream":
        assert "Content-Length" not in headers
    else:
        assert int(headers["Content-Length"]) == len(b"".join(pieces))
    assert code == {"/sleep/x": 400, "/nothing": 404}.get(path, 200)


@pytest.mark.parametrize("path", PATHS)
def test_head_has_the_headers_of_get_and_no_body(path, monkeypatch):
    monkeypatch.setattr(demo, "_served", 100)
    code, wanted, _ = call(path)
    head_code, headers, pieces = call(path, "HEAD")
    if path == "/":  # the page shows the method and where objects are: not as long each time
        assert abs(int(headers.pop("Content-Length")) - int(wanted.pop("Content-Length"))) < 50
    assert (head_code, headers, pieces) == (code, wanted, [])


def test_the_page_shows_what_it_was_called_with():
    _, _, pieces = call("/", HTTP_X_EVIL="<script>&\"'", HTTP_A="1", **{"app.thing": {"k": "<v>"}})
    page = b"".join(pieces).decode()
    rows = re.findall(r'<tr><th scope="row">(.*?)</th><td>(.*?)</td></tr>', page)
    assert [key for key, _ in rows] == sorted(key for key, _ in rows)
    shown = dict(rows)
    assert shown["HTTP_X_EVIL"] == "&lt;script&gt;&amp;&quot;&#x27;"
    assert shown["app.thing"] == "{&#x27;k&#x27;: &#x27;&lt;v&gt;&#x27;}"
    assert shown["REQUEST_METHOD"] == "GET"
    assert "<script" not in page


def test_the_page_shows_who_answered():
    facts = []
    for _ in range(2):
        page = b"".join(call("/")[2]).decode()
        facts.append(dict(re.findall(r"<div><dt>(.*?)</dt><dd>(.*?)</dd></div>", page)))
    assert facts[0]["kernel"] == _accel.implementation()
    assert facts[0]["pid of this worker"] == str(os.getpid())
    assert facts[0]["cyserve"] == cyserve.__version__
    assert facts[0]["Python"].startswith(platform.python_version())
    assert int(facts[1]["requests it has served"]) == int(facts[0]["requests it has served"]) + 1


@pytest.mark.parametrize(
    ("more", "base"),
    [
        ({}, "http://demo.example:8000"),
        ({"wsgi.url_scheme": "https", "SCRIPT_NAME": "/a b"}, "https://demo.example:8000/a%20b"),
        ({"HTTP_HOST": "$(reboot)"}, "http://127.0.0.1:80"),
        ({"HTTP_HOST": "[::1]:8000"}, "http://[::1]:8000"),
    ],
)
def test_every_other_route_has_a_command_to_copy(more, base):
    page = b"".join(call("/", **more)[2]).decode()
    commands = re.findall(r"<code>(.*?)</code>", page)
    assert commands == [
        f"curl -N {base}/stream",
        f"echo hello | curl --data-binary @- {base}/echo",
        f"curl {base}/file",
        f"curl {base}/sleep/250",
    ]


def test_the_stream_comes_in_pieces():
    _, _, pieces = call("/stream")
    assert len(pieces) == 6
    assert [piece.split(b",")[0] for piece in pieces] == [b"piece %d of 6" % n for n in range(1, 7)]


@pytest.mark.parametrize("size", [0, 1, demo.PIECE, demo.ECHO_IN_MEMORY * 2 + 1])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_echo(method, size):
    body = os.urandom(size)
    kind = {"CONTENT_TYPE": "image/x-noise", "CONTENT_LENGTH": str(size)}
    code, headers, pieces = call("/echo", method, body, **kind)
    assert (code, headers["Content-Type"], headers["Content-Length"]) == (
        200,
        "image/x-noise",
        str(size),
    )
    assert b"".join(pieces) == body
    assert all(len(piece) <= demo.PIECE for piece in pieces)


def test_echo_of_something_without_a_type():
    assert call("/echo", "POST", b"x")[1]["Content-Type"] == "application/octet-stream"


def test_echo_has_a_limit(monkeypatch):
    monkeypatch.setattr(demo, "ECHO_LIMIT", 10)
    assert call("/echo", "POST", b"x" * 10)[0] == 200
    assert call("/echo", "POST", b"x" * 11)[0] == 413


def test_echo_in_a_browser_is_a_form():
    page = b"".join(call("/echo")[2])
    assert b'<form method="post" enctype="multipart/form-data">' in page


def test_the_file_is_this_source():
    source = Path(demo.__file__).read_bytes()
    assert b"".join(call("/file")[2]) == source


def test_the_file_goes_by_the_servers_file_wrapper():
    made = []

    class Wrapper:
        def __init__(self, file, size):
            made.append(file)
            self.file = file

        def __iter__(self):
            return iter([b"wrapped"])

        def close(self):
            self.file.close()

    assert call("/file", **{"wsgi.file_wrapper": Wrapper})[2] == [b"wrapped"]
    assert call("/file", "HEAD", **{"wsgi.file_wrapper": Wrapper})[2] == []
    assert [file.closed for file in made] == [True, True]


@pytest.mark.parametrize("wanted", ["0", "250", "60000"])
def test_sleep(wanted, monkeypatch):
    slept = []
    monkeypatch.setattr(demo.time, "sleep", slept.append)
    code, _, pieces = call(f"/sleep/{wanted}")
    assert (code, pieces) == (200, [f"slept {wanted} ms\n".encode()])
    assert slept == [int(wanted) / 1000]


@pytest.mark.parametrize("wanted", ["", "x", "-1", "1.5", "60001", "9999999", "\u0661", "1\n"])
def test_nonsense_is_not_slept(wanted, monkeypatch):
    monkeypatch.setattr(demo.time, "sleep", lambda seconds: pytest.fail("slept"))
    assert call(f"/sleep/{wanted}")[0] == 400


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/", "GET, HEAD"), ("/echo", "GET, HEAD, POST, PUT"), ("/sleep/1", "GET, HEAD")],
)
def test_other_methods(path, allowed):
    code, headers, _ = call(path, "DELETE")
    assert (code, headers["Allow"]) == (405, allowed)
