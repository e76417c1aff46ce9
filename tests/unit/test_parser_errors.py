"""Protocol errors: the status, the log line and the error page of each (gunicorn's words)."""

import pickle
from typing import Any

import pytest

from cyserve import _errors

BAD = (400, "Bad Request")
SERVER = (500, "Internal Server Error")
CASES: list[tuple[str, tuple[Any, ...], tuple[int, str], str, str | None]] = [
    ("InvalidRequestLine", ("x",), BAD, "Invalid HTTP request line: 'x'",
     "Invalid Request Line 'Invalid HTTP request line: 'x''"),
    ("InvalidRequestMethod", ("x",), BAD, "Invalid HTTP method: 'x'",
     "Invalid Method 'Invalid HTTP method: 'x''"),
    ("InvalidHTTPVersion", ((2, 0),), BAD, "Invalid HTTP Version: (2, 0)",
     "Invalid HTTP Version 'Invalid HTTP Version: (2, 0)'"),
    ("InvalidHeader", ("A",), BAD, "Invalid HTTP Header: 'A'", None),
    ("InvalidHeaderName", ("A ",), BAD, "Invalid HTTP header name: 'A '", None),
    ("ObsoleteFolding", ("A",), BAD, "Obsolete line folding is unacceptable: 'A'", None),
    ("InvalidSchemeHeaders", (), BAD, "Contradictory scheme headers", None),
    ("InvalidChunkSize", (b"g",), BAD, "Invalid chunk size: b'g'", None),
    ("ChunkMissingTerminator", (b"XX",), BAD,
     "Invalid chunk terminator is not '\\r\\n': b'XX'", None),
    ("InvalidChunkExtension", ("bare CR not allowed",), BAD,
     "Invalid chunk extension: bare CR not allowed", None),
    ("InvalidProxyLine", ("PROXY",), BAD, "Invalid PROXY line: 'PROXY'",
     "'Invalid PROXY line: 'PROXY''"),
    ("InvalidProxyHeader", ("short",), BAD, "Invalid PROXY header: short", None),
    ("InvalidH2CPreface", (b"x",), BAD, "Expected HTTP/2 connection preface, got b'x'", None),
    ("ForbiddenProxyRequest", ("10.0.0.1",), (403, "Forbidden"),
     "Proxy request from '10.0.0.1' not allowed", "Request forbidden"),
    ("PlainHTTPRequest", (), BAD, "The plain HTTP request was sent to HTTPS port", None),
    ("RequestTimeout", (), (408, "Request Timeout"), "Request Timeout", None),
    ("ServiceUnavailable", (), (503, "Service Unavailable"), "the worker is stopping", None),
    ("ContentTooLarge", (9, 5), (413, "Content Too Large"),
     "Request body is too large (9 > 5)", None),
    ("LimitRequestLine", (9, 5), (414, "URI Too Long"), "Request Line is too large (9 > 5)", None),
    ("ExpectationFailed", ("x",), (417, "Expectation Failed"),
     "Unable to comply with expectation: 'x'", None),
    ("LimitRequestHeaders", ("max buffer headers",), (431, "Request Header Fields Too Large"),
     "max buffer headers", "Error parsing headers: 'max buffer headers'"),
    ("ConfigurationProblem", ("x",), SERVER, "Configuration problem: x", None),
    ("InvalidResponseHeader", ("x",), SERVER,
     "Invalid response header from the application: x", ""),
    ("InvalidResponseHeaderName", ("x",), SERVER,
     "Invalid response header name from the application: x", ""),
    ("PlainHTTPRequest", (), BAD, "The plain HTTP request was sent to HTTPS port", None),
    ("UnsupportedTransferCoding", ("x",), (501, "Not Implemented"),
     "Unsupported transfer coding: 'x'", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "status", "text", "page"), CASES)
def test_error(
    name: str, args: tuple[Any, ...], status: tuple[int, str], text: str, page: str | None
) -> None:
    error = getattr(_errors, name)(*args)
    assert isinstance(error, _errors.ParseException)
    assert (error.status, error.phrase) == status
    assert error.code == error.status
    assert str(error) == text
    assert error.page_message == (text if page is None else page)
    assert error.args == args
    assert str(pickle.loads(pickle.dumps(error))) == text


def test_every_error_has_a_case() -> None:
    cases = {case[0] for case in CASES}
    assert set(_errors.__all__) - cases == {"ParseException", "NoMoreData", "Refusal"}


def test_no_more_data() -> None:
    error = _errors.NoMoreData(b"half")
    assert isinstance(error, ConnectionError)
    assert not isinstance(error, _errors.ParseException)
    assert str(error) == "No more data after: b'half'"
    assert error.buf == b"half"


def test_response_errors_are_kinds_of_the_general_ones() -> None:
    assert issubclass(_errors.InvalidResponseHeader, _errors.InvalidHeader)
    assert issubclass(_errors.InvalidResponseHeaderName, _errors.InvalidHeaderName)
