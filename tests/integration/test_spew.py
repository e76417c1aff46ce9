"""--spew: every line that is about to run appears on stdout, whatever kind of worker runs it."""

import pytest
from harness import differs
from http_client import request

APP = """\
def answer(text):
    body = text.encode()
    return [body]
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return answer("hello")
"""


@differs("spew-threads")
@pytest.mark.parametrize("kind", ["sync", "gthread"])
def test_lines_of_a_request(start_server, kind):
    server = start_server("traced:app", "--spew", "-k", kind, files={"traced.py": APP})
    mark = server.log_mark()
    assert request(server.address).text == "hello"
    assert server.wait_log(r"^traced:(\d): +(.+)$", count=4, since=mark) == [
        ("5", 'start_response("200 OK", [("Content-Length", "5")])'),
        ("6", 'return answer("hello")'),
        ("2", "body = text.encode()"),
        ("3", "return [body]"),
    ]
    text = server.log_text()
    assert text.count("traced:1: def answer(text):") == 1  # nothing waits in a buffer to be doubled
