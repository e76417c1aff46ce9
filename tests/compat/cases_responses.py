"""Cases about responses: what applications may say, do wrong, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping

from cases import request, say
from exchange import ALL, KEEPING, Case

Differs = Mapping[str, tuple[str, ...]]

LENGTH_5 = [["Content-Length", "5"]]


def answer(
    name: str,
    method: str = "GET",
    version: str = "HTTP/1.1",
    more: dict[str, object] | None = None,
    differs: Differs | None = None,
    **spec: object,
) -> Case:
    """A case in which the application answers as `say` of compat_app says."""
    raw = request(say(**spec), method=method, version=version)
    return Case(f"say-{name}", (raw,), differs=differs or {}, **(more or {}))  # type: ignore[arg-type]


PLAIN = [
    answer("list"),
    answer("list-with-length", fields=LENGTH_5),
    answer("tuple", kind="tuple", items=["a", "", "b"]),
    answer(
        "iterable",
        kind="iterable",
        items=["a", "", "b"],
        closing=True,
        differs={"access-after-close": ALL},
    ),
    answer("iterable-with-length", kind="iterable", items=["a", "bcde"], fields=LENGTH_5),
    answer("no-items", items=[]),
    answer("empty-item", items=[""]),
    answer("1.0", version="HTTP/1.0"),
    answer("1.0-with-length", version="HTTP/1.0", fields=LENGTH_5),
    answer("1.0-no-items", version="HTTP/1.0", items=[]),
    Case("answer-large", (request("/big-iterable"),)),
    Case("answer-large-with-length", (request("/sized?n=200000"),)),
    answer("write", writes=["one", "", "two"]),
    answer("write-with-length", writes=["he", "l"], items=["lo"], fields=LENGTH_5),
    answer("head", method="HEAD"),
    answer("head-with-length", method="HEAD", fields=LENGTH_5),
    answer("head-no-items", method="HEAD", items=[]),
    answer("204", status="204 No Content"),
    answer("204-with-length", status="204 No Content", fields=LENGTH_5),
    answer("204-no-items", status="204 No Content", items=[]),
    answer("304", status="304 Not Modified", items=[]),
    answer("304-with-length", status="304 Not Modified", fields=LENGTH_5),
    answer("205", status="205 Reset Content", items=[]),
    answer("100", status="100 Continue", items=[], more={"answers": 0}),
    answer("status-alone", status="200"),
    answer("status-own-phrase", status="299 My Own (odd) phrase"),
    answer("status-099", status="099 Early", fields=LENGTH_5),
    answer("status-599", status="599 Late"),
    answer("status-latin", status="200 caf\xe9"),
    answer(
        "closing",
        kind="iterable",
        items=["a"],
        closing=True,
        fields=[["Content-Length", "1"]],
        differs={"access-after-close": ALL},
    ),
]

FIELDS = [
    answer(f"field-{name}", fields=[*fields, *LENGTH_5])
    for name, fields in [
        ("order", [["b-Lower", "1"], ["A-Upper", "2"], ["b-lower", "3"]]),
        ("stripped", [["X-A", " \ta b\t "]]),
        ("empty", [["X-A", ""]]),
        ("latin", [["X-A", "caf\xe9"]]),
        ("tab", [["X-A", "a\tb"]]),
        (
            "hop-by-hop",
            [["Keep-Alive", "5"], ["TE", "x"], ["Trailers", "x"], ["Transfer-Encoding", "chunked"]],
        ),
        ("proxy-auth", [["Proxy-Authenticate", "x"], ["Proxy-Authorization", "x"]]),
        ("trailer", [["Trailer", "X-Sum"]]),
        ("server-and-date", [["Server", "mine"], ["Date", "today"]]),
        ("connection-keep", [["Connection", "keep-alive"]]),
        ("upgrade-not-asked", [["Upgrade", "h2c"]]),
        ("cookies", [["Set-Cookie", "a=b"], ["Set-Cookie", "c=d"]]),
        ("not-a-token", [["X A", "b"]]),
        ("name-empty", [["", "b"]]),
        ("name-latin", [["X\xe9", "b"]]),
        ("line-feed", [["X-A", "a\nb"]]),
        ("crlf", [["X-A", "a\r\nX-B: c"]]),
        ("nul", [["X-A", "a\0b"]]),
        ("delete", [["X-A", "a\x7fb"]]),
        ("not-latin", [["X-A", "\u20ac"]]),
        ("number", [["X-A", 5]]),
        ("name-number", [[5, "x"]]),
        ("none", [["X-A", None]]),
    ]
]
FIELDS += [
    answer(
        "field-connection-close",
        fields=[["Connection", "close"], *LENGTH_5],
        differs={"connection-lists": KEEPING},
    ),
    answer(
        "field-connection-list",
        fields=[["Connection", "x, close"], *LENGTH_5],
        differs={"connection-lists": KEEPING},
    ),
    answer("field-triple", fields=[["X-A", "b", "c"], *LENGTH_5], differs={"app-error-words": ALL}),
]

LENGTHS = [
    answer("length-word", fields=[["Content-Length", "abc"]], differs={"app-error-words": ALL}),
    answer(
        "length-minus",
        fields=[["Content-Length", "-5"]],
        more={"half_close": True},
        differs={"bad-content-length": ALL},
    ),
    answer("length-plus", fields=[["Content-Length", "+5"]], differs={"bad-content-length": ALL}),
    answer("length-empty", fields=[["Content-Length", ""]], differs={"app-error-words": ALL}),
    answer("length-space", fields=[["Content-Length", " 5 "]]),
    answer("length-number", fields=[["Content-Length", 5]]),
    answer(
        "two-equal-lengths", fields=[*LENGTH_5, *LENGTH_5], differs={"two-content-lengths": ALL}
    ),
    answer(
        "two-lengths",
        fields=[*LENGTH_5, ["Content-Length", "4"]],
        more={"half_close": True, "answers": 0},
        differs={"two-content-lengths": ALL},
    ),
    answer("longer", items=["hello", " world"], fields=LENGTH_5),
    answer("longer-in-one", items=["hello world"], fields=LENGTH_5),
    answer("longer-than-0", items=["hello"], fields=[["Content-Length", "0"]]),
    answer("shorter", items=["hel"], fields=LENGTH_5, more={"half_close": True, "answers": 0}),
    answer(
        "shorter-iterable",
        kind="iterable",
        items=["hel"],
        fields=LENGTH_5,
        more={"half_close": True, "answers": 0},
    ),
    answer(
        "shorter-then-another",
        items=["hel"],
        fields=LENGTH_5,
        more={"answers": 0},
        differs={"short-answer": KEEPING},
    ),
    answer(
        "shorter-iterable-then-another",
        kind="iterable",
        items=["hel"],
        fields=LENGTH_5,
        more={"answers": 0},
        differs={"short-answer": KEEPING},
    ),
    answer(
        "no-items-with-length", items=[], fields=LENGTH_5, more={"half_close": True, "answers": 0}
    ),
]

FAILING = [
    answer("status-bad", status="OK 200"),
    answer("status-two-digits", status="20 OK"),
    answer("status-two-spaces", status="200  OK"),
    answer("status-space-behind", status="200 "),
    answer("status-line-feed", status="200 OK\nX: y"),
    answer("status-number", status=200),
    answer("status-none", status=None),
    answer("text-items", kind="text", fields=LENGTH_5, differs={"text-body": ALL}),
    answer("text-items-chunked", kind="text", differs={"text-body": ALL}),
    answer("none", kind="none", differs={"access-after-close": ALL}),
    answer("error", error="RuntimeError"),
    answer("error-head", error="RuntimeError", method="HEAD"),
    answer("error-1.0", error="RuntimeError", version="HTTP/1.0"),
    answer("os-error", error="OSError", differs={"os-errors": ALL}),
    answer("reset-error", error="ConnectionResetError", differs={"os-errors": ALL}),
    answer(
        "system-exit",
        error="SystemExit",
        more={"half_close": True, "answers": 0},
        differs={"system-exit": KEEPING},
    ),
    answer("stop-iteration", error="StopIteration"),
    answer(
        "late-error",
        kind="iterable",
        late_error="RuntimeError",
        closing=True,
        more={"half_close": True},
        differs={"access-after-close": ALL},
    ),
    answer(
        "late-error-with-length",
        kind="iterable",
        late_error="RuntimeError",
        fields=[["Content-Length", "9"]],
        more={"half_close": True, "answers": 0},
        differs={"access-after-close": ALL},
    ),
    answer(
        "late-error-complete",
        kind="iterable",
        late_error="RuntimeError",
        fields=LENGTH_5,
        differs={"access-after-close": ALL},
    ),
    answer(
        "late-error-first",
        kind="iterable",
        items=[],
        late_error="RuntimeError",
        differs={"access-after-close": ALL},
    ),
    answer(
        "late-os-error",
        kind="iterable",
        late_error="OSError",
        more={"half_close": True},
        differs={"access-after-close": ALL, "os-errors": ALL},
    ),
    answer(
        "late-system-exit",
        kind="iterable",
        late_error="SystemExit",
        more={"half_close": True},
        differs={"access-after-close": ALL},
    ),
    answer("twice", again=["200 OK", []]),
    answer(
        "exc-info",
        fields=[["X-A", "b"]],
        again=["503 Service Unavailable", [["X-C", "d"]], True],
        differs={"exc-info-replaces": ALL},
    ),
    answer(
        "exc-info-with-length",
        fields=LENGTH_5,
        items=["sorry"],
        again=["503 Sorry", LENGTH_5, True],
        differs={"exc-info-replaces": ALL},
    ),
    answer(
        "exc-info-too-late",
        writes=["written"],
        again=["503 Sorry", [], True],
        more={"half_close": True},
        differs={"failed-logged": ALL},
    ),
    Case("no-start-response", (request("/no-start-response"),), differs={"no-start-response": ALL}),
    Case("logged-errors", (request("/log-error"),)),
]

HINTS = [
    answer("hints", hints=[[["Link", "</a>; rel=preload"], ["X-B", "c"]], [["Link", "</d>"]]]),
    answer("hints-none", hints=[[]]),
    answer("hints-1.0", hints=[[["Link", "</a>"]]], version="HTTP/1.0"),
    answer("hints-1.2", hints=[[["Link", "</a>"]]], version="HTTP/1.2"),
    answer("hints-bad", hints=[[["Link", "a\nb"]]]),
    answer(
        "hints-hop-by-hop",
        hints=[[["Connection", "close"], ["Server", "mine"], ["Content-Length", "5"]]],
        differs={"early-hints-fields": ALL},
    ),
    answer("hints-head", hints=[[["Link", "</a>"]]], method="HEAD"),
]

SENDFILE_DIFFERS = {"sendfile-size": ALL}
FILES = [
    answer(
        f"{kind}-{name}",
        kind=kind,
        items=["0123456789"],
        times=3000,
        more={"config": config},
        differs=SENDFILE_DIFFERS if kind == "file" and config == "plain" else {},
        **spec,
    )
    for kind in ("file", "memory")
    for config, name, spec in [
        ("plain", "chunked", {}),
        ("plain", "with-length", {"fields": [["Content-Length", "30000"]]}),
        ("plain", "part", {"fields": [["Content-Length", "10"]]}),
        ("lenient", "no-sendfile", {"fields": [["Content-Length", "30000"]]}),
        ("lenient", "no-sendfile-chunked", {}),
    ]
]
FILES += [
    answer(
        "file-offset",
        kind="file",
        items=["0123456789"],
        times=300,
        offset=1000,
        fields=[["Content-Length", "2000"]],
        differs={"sendfile-size": ALL},
    ),
    answer(
        "file-offset-chunked",
        kind="file",
        items=["0123456789"],
        times=300,
        offset=1000,
        differs={"sendfile-size": ALL},
    ),
    answer("file-head", kind="file", method="HEAD", fields=LENGTH_5),
    answer("file-304", kind="file", status="304 Not Modified"),
    answer("file-1.0", kind="file", version="HTTP/1.0", differs={"sendfile-size": ALL}),
    answer("file-empty", kind="file", items=[], differs={"sendfile-empty": ALL}),
    answer("file-at-the-end", kind="file", offset=5, differs={"sendfile-empty": ALL}),
    answer("file-written-before", kind="file", writes=["first "], differs={"sendfile-size": ALL}),
    answer(
        "file-after-write-with-length",
        kind="file",
        writes=["writ"],
        fields=[["Content-Length", "7"]],
        more={"half_close": True, "answers": 0},
        differs={"sendfile-after-write": ALL, "sendfile-size": ALL},
    ),
    answer(
        "file-too-short",
        kind="file",
        fields=[["Content-Length", "9"]],
        more={"half_close": True, "answers": 0},
        differs={"sendfile-size": ALL},
    ),
]

CASES = [*PLAIN, *FIELDS, *LENGTHS, *FAILING, *HINTS, *FILES]
