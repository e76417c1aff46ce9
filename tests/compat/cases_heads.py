"""Cases about request heads: lines, fields, limits, framing, and what each is refused for."""

from __future__ import annotations

from cases import request
from exchange import ALL, Case

LOGGED_DIFFERS = {"refused-logged": ALL}
H = b"Host: h\r\n"


#: gunicorn logs an access for these: it has read the whole head.
READ_DIFFERS: dict[str, tuple[str, ...]] = {}


def refused(name: str, raw: bytes, config: str = "plain", **more: object) -> Case:
    """A head that is answered with an error page and logged."""
    given = {"differs": LOGGED_DIFFERS, **more}
    return Case(f"refused-{name}", (raw,), config, **given)  # type: ignore[arg-type]


LINES = [
    refused(
        "nonsense",
        b"nonsense\r\n\r\n",
        differs={"refused-logged": ALL, "pywsgi-refused": ("gevent_pywsgi",)},
    ),
    refused("http-0.9", b"GET /ok\r\n\r\n"),
    refused("two-spaces", b"GET  /ok HTTP/1.1\r\n\r\n"),
    refused("tabs", b"GET\t/ok\tHTTP/1.1\r\n\r\n"),
    refused("space-in-target", b"GET /a b HTTP/1.1\r\n\r\n"),
    refused("space-at-the-end", b"GET /ok HTTP/1.1 \r\n\r\n"),
    refused("space-first", b" GET /ok HTTP/1.1\r\n\r\n"),
    refused("second-empty-line", b"\r\n\r\nGET /ok HTTP/1.1\r\n\r\n"),
    refused("line-feed-first", b"\nGET /ok HTTP/1.1\r\n\r\n"),
    refused("bare-line-feed", b"GET /ok HTTP/1.1\n\n"),
    refused("bare-cr", b"GET /ok\rHTTP/1.1\r\n\r\n"),
    refused("empty-target", b"GET  HTTP/1.1\r\n\r\n"),
    refused("method-of-two", request(method="GE")),
    refused("method-of-21", request(method="ABCDEFGHIJKLMNOPQRSTU")),
    refused("method-lower", request(method="get")),
    refused("method-hash", request(method="GE#T")),
    refused("method-not-a-token", request(method="GE(T")),
    refused("method-quote", request(method="GE'T<")),
    refused("version-lower", request(version="http/1.1")),
    refused("version-2", request(version="HTTP/2.0")),
    refused("version-0.9", request(version="HTTP/0.9")),
    refused("version-digits", request(version="HTTP/1.10")),
    refused("version-word", request(version="FTP/1.1")),
    refused("target-control", request("/a\x01b")),
    refused("target-delete", request("/a\x7fb")),
    refused("target-latin", request("/\xe9")),
    refused("target-star", request("*")),
    refused("target-word", request("word")),
    refused("target-authority", request("example.org:80")),
    refused("target-bad-url", request("http://[::1")),
    refused("h2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    refused("tls-hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(20) + b"\r\n\r\n"),
    refused("proxy-line-not-expected", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + request()),
    refused("long-line", request("/" + "a" * 4090)),
    refused("long-line-unfinished", b"GET /" + b"a" * 5000, answers=1),
    refused("small-line", request("/" + "a" * 100), "small"),
    Case("line-at-the-limit", (request("/" + "a" * 86),), "small"),
    Case("leading-empty-line", (b"\r\n" + request(),)),
    Case("version-1.0", (request(version="HTTP/1.0"),)),
    Case("version-1.2", (request(version="HTTP/1.2"),)),
    Case("version-1.9-chunked", (request("/by-write", version="HTTP/1.9"),)),
    Case("options-star", (request("*", method="OPTIONS"),)),
    Case("absolute-form", (request("http://other.example:81/dump?a=b"),)),
    Case("absolute-form-without-path", (request("http://other.example"),)),
    Case("connect", (request("example.org:80", method="CONNECT"),)),
    Case("connect-to-ok", (request("/ok", method="CONNECT"),)),
    Case("fragment", (request("/ok?a=b#fragment"),)),
    Case("two-slashes", (request("//ok"),)),
    Case("dots", (request("/a/../ok"),)),
    Case("percent", (request("/%6fk"),)),
    Case("percent-bad", (request("/ok%zz"),)),
    Case("not-found", (request("/nowhere"),)),
    Case("odd-method", (request(method="FROB-NICATE!"),)),
    Case("no-bytes", (b"",), half_close=True, answers=0),
    Case("half-a-line", (b"GET /o",), half_close=True, answers=0),
    Case("half-a-head", (b"GET /ok HTTP/1.1\r\nHost: h\r\n",), half_close=True, answers=0),
    Case("whole-and-half-close", (request(),), half_close=True),
    # The settings that permit more.
    Case("lenient-lower-method", (request(method="get"),), "lenient"),
    Case("lenient-short-method", (request(method="x#"),), "lenient"),
    refused("lenient-method-not-a-token", request(method="GE(T"), "lenient"),
    Case("lenient-version-0.9", (request(version="HTTP/0.9"),), "lenient"),
    Case("lenient-version-2.0", (request(version="HTTP/2.0"),), "lenient"),
    Case("lenient-version-3.9", (request("/by-write", version="HTTP/3.9"),), "lenient"),
    refused("lenient-version-lower", request(version="http/1.1"), "lenient"),
]

FIELDS = [
    refused("no-colon", request("/ok", "nonsense")),
    refused("colon-first", request("/ok", ": x")),
    refused("space-before-colon", request("/ok", "Name : x")),
    refused(
        "first-line-folded", request("/ok", host=False).replace(b"\r\n\r\n", b"\r\n X: y\r\n\r\n")
    ),
    refused("folding", request("/ok", "X-A: b\r\n c")),
    refused("name-not-a-token", request("/ok", "X(A: b")),
    refused("name-latin", request("/ok", "X\xe9: b")),
    refused("name-quote", request("/ok", "X'<A>: b")),
    refused("value-nul", request("/ok", "X-A: a\0b")),
    refused("value-control", request("/ok", "X-A: a\x1fb")),
    refused("value-delete", request("/ok", "X-A: a\x7fb")),
    refused("value-cr", request("/ok", "X-A: a\rb")),
    refused("value-line-feed", request("/ok", "X-A: a\nb"), differs={"line-feed-words": ALL}),
    refused("bare-line-feeds", b"GET /ok HTTP/1.1\nHost: h\n\n"),
    refused("two-hosts", request("/ok", "Host: i"), differs=READ_DIFFERS),
    refused(
        "two-content-types",
        request("/ok", "Content-Type: a/b", "Content-Type: a/b"),
        differs=READ_DIFFERS,
    ),
    refused("long-field", request("/ok", "X-A: " + "a" * 8190)),
    refused("many-fields", request("/ok", *(f"X-{n}: {n}" for n in range(101)))),
    refused("small-field", request("/ok", "X-A: " + "a" * 60), "small"),
    refused("small-many-fields", request("/ok", *(f"X-{n}: {n}" for n in range(6))), "small"),
    Case("field-at-the-limit", (request("/ok", "X-A: " + "a" * 53),), "small"),
    Case("fields-at-the-limit", (request("/ok", *(f"X-{n}: {n}" for n in range(3))),), "small"),
    refused("expectation", request("/ok", "Expect: a-cake")),
    refused("expectation-list", request("/ok", "Expect: 100-continue, a-cake")),
    Case("no-host", (request(host=False),)),
    Case("empty-host", (request("/ok", "Host:", host=False),)),
    Case("odd-host", (request("/ok", "Host: a b/c", host=False),)),
    Case("latin-value", (request("/ok", "X-A: caf\xe9"),)),
    Case("empty-value", (request("/ok", "X-A:"),)),
    Case("tab-in-value", (request("/ok", "X-A:\ta\tb\t"),)),
    Case("underscore-dropped", (request("/dump", "X_A: b", "X-B: c"),)),
    Case("lenient-underscore", (request("/ok", "X_A: b"),), "lenient"),
    refused("underscore", request("/ok", "X_A: b"), "small"),
    Case("lenient-folding", (request("/ok", "X-A: b\r\n\t c\r\n  d"),), "lenient"),
    Case("lenient-space-before-colon", (request("/ok", "X-A \t: b"),), "lenient"),
    refused("lenient-first-line-folded", b"GET /ok HTTP/1.1\r\n X: y\r\n\r\n", "lenient"),
    refused(
        "contradictory-schemes", request("/ok", "X-Forwarded-Proto: https", "X-Forwarded-SSL: off")
    ),
    Case(
        "schemes-that-agree", (request("/ok", "X-Forwarded-Proto: https", "X-Forwarded-Ssl: on"),)
    ),
    Case(
        "contradictory-schemes-untrusted",
        (request("/ok", "X-Forwarded-Proto: https", "X-Forwarded-SSL: off"),),
        "untrusted",
    ),
]


def framed(name: str, *fields: str, body: bytes = b"", **more: str) -> bytes:
    return request("/echo", *fields, method="POST", body=body, length=False, **more)


FRAMING = [
    refused(
        f"length-{name}",
        framed(name, f"Content-Length: {value}", body=b"hello"),
        differs=READ_DIFFERS,
    )
    for name, value in [
        ("plus", "+5"),
        ("minus", "-5"),
        ("list", "5, 5"),
        ("hex", "0x5"),
        ("empty", ""),
        ("space", "5 5"),
        ("superscript", "\xb2"),
    ]
]
FRAMING += [
    Case(
        "length-of-5000-digits",
        (framed("x", "Content-Length: " + "0" * 4999 + "5", body=b"hello"),),
        differs={"content-length-digits": ALL},
    ),
    Case(
        "length-of-20-digits",
        (framed("x", "Content-Length: " + "9" * 20, body=b"hello"),),
        half_close=True,
        differs={"content-length-digits": ALL},
    ),
    refused(
        "two-lengths",
        framed("x", "Content-Length: 5", "Content-Length: 5", body=b"hello"),
        differs=READ_DIFFERS,
    ),
    refused(
        "length-and-coding",
        framed("x", "Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        differs=READ_DIFFERS,
    ),
    Case("length-with-zeros", (framed("x", "Content-Length: 0005", body=b"hello"),)),
    Case("length-of-30-digits", (framed("x", "Content-Length: " + "5".zfill(30), body=b"hello"),)),
]
UNKNOWN_DIFFERS = {"reason-phrases": ALL, "refused-logged": ALL}
CODINGS = {
    "unknown": UNKNOWN_DIFFERS,
    "empty": UNKNOWN_DIFFERS,
    "trailing-comma": UNKNOWN_DIFFERS,
    "vertical-tab": LOGGED_DIFFERS,
}
FRAMING += [
    refused(
        f"coding-{name}",
        framed(name, *(f"Transfer-Encoding: {value}" for value in values), body=b"0\r\n\r\n"),
        differs=CODINGS.get(name, READ_DIFFERS),
    )
    for name, values in [
        ("unknown", ["foo"]),
        ("empty", [""]),
        ("trailing-comma", ["chunked,"]),
        ("not-chunked", ["gzip"]),
        ("identity", ["identity"]),
        ("twice", ["chunked, chunked"]),
        ("twice-in-two", ["chunked", "chunked"]),
        ("after-chunked", ["chunked, gzip"]),
        ("vertical-tab", ["\x0bchunked"]),
    ]
]
FRAMING += [
    refused(
        "coding-1.0",
        framed("x", "Transfer-Encoding: chunked", version="HTTP/1.0"),
        differs=READ_DIFFERS,
    ),
    Case("coding-upper", (framed("x", "Transfer-Encoding: CHUNKED", body=b"1\r\na\r\n0\r\n\r\n"),)),
    Case(
        "coding-gzip",
        (framed("x", "Transfer-Encoding: gzip, chunked", body=b"1\r\na\r\n0\r\n\r\n"),),
    ),
    Case(
        "coding-identity-first",
        (framed("x", "Transfer-Encoding: identity, chunked", body=b"1\r\na\r\n0\r\n\r\n"),),
    ),
]


def chunked_trailer(size: int) -> bytes:
    """A body in chunks with one long field behind it."""
    trailer = b"0\r\nX-A: " + b"a" * size + b"\r\n\r\n"
    return framed("x", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n" + trailer)


FAULTS = [
    refused("expectation-1.0", request("/ok", "Expect: a-cake", version="HTTP/1.0")),
    Case(
        "two-faults", (request("/ok", "Expect: a-cake", "nonsense"),), differs={"first-fault": ALL}
    ),
    Case(
        "long-field-unfinished",
        (b"GET /ok HTTP/1.1\r\nX-A: " + b"a" * 100 + b"\r\n",),
        "small",
        half_close=True,
        differs={"limits-early": ALL},
    ),
    Case(
        "short-for-a-proxy",
        (b"T/ok\r\n\r\n",),
        "proxied",
        half_close=True,
        differs={"proxy-short": ALL},
    ),
]

UNLIMITED = [
    Case("unlimited-line", (request("/ok?" + "a" * 20000),), "unlimited"),
    Case(
        "unlimited-field",
        (request("/ok", "X-A: " + "a" * 20000),),
        "unlimited",
        differs={"field-size-0": ALL},
    ),
    Case("unlimited-fields", (request("/ok", *(f"X-{n}: {n}" for n in range(900))),), "unlimited"),
    refused("unlimited-fields", request("/ok", *(f"X-{n}: {n}" for n in range(1001))), "unlimited"),
    Case(
        "unlimited-trailer", (chunked_trailer(20000),), "unlimited", differs={"field-size-0": ALL}
    ),
    Case("forwarder-any", (request("/dump", "X_ANY: 1", "X_FORWARDED_PROTO: 2"),), "unlimited"),
]

CASES = [*LINES, *FIELDS, *FRAMING, *FAULTS, *UNLIMITED]
