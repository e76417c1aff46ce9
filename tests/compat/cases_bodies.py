"""Cases about request bodies: sized, chunked, cut short, not read, and Expect."""

from __future__ import annotations

from cases import chunks, request, say
from exchange import ALL, Case

CHUNKED = "Transfer-Encoding: chunked"
CONTINUE = "Expect: 100-continue"


def post(target: str, *fields: str, body: bytes = b"", **more: object) -> bytes:
    return request(target, *fields, method="POST", body=body, **more)  # type: ignore[arg-type]


def chunked(name: str, body: bytes, target: str = "/echo", **more: object) -> Case:
    return Case(f"chunked-{name}", (post(target, CHUNKED, body=body, length=False),), **more)  # type: ignore[arg-type]


SIZED = [
    Case("echo", (post("/echo", body=b"hello"),)),
    Case("echo-unix", (post("/echo", body=b"hello"),), listener=1),
    Case("post-without-length", (post("/echo"),)),
    Case("post-of-no-bytes", (post("/echo", "Content-Length: 0"),)),
    Case("get-with-body", (request("/echo", body=b"hello"),)),
    Case("echo-1.0", (post("/echo", body=b"hello", version="HTTP/1.0"),)),
    Case("input-rules", (post("/input-rules", body=b"abcdefgh\nijk\nl\nm"),)),
    Case("readline", (post("/by-readline", body=b"a\nbc\n\nd"),)),
    Case("readlines", (post("/by-readlines", body=b"a\nbc\n\nd"),)),
    Case("iterated", (post("/by-iteration", body=b"a\nbc\n\nd"),)),
    Case("large", (post("/by-sized-read", body=b"0123456789" * 30000),)),
    Case("unread", (post("/unread", body=b"hello"),)),
    Case(
        "unread-large",
        (post("/unread", body=b"hello" * 600000),),
        differs={"unread-body": ("gevent",)},
    ),
    Case("unread-then-another", (post("/ok", body=b"hello") + request("/ok?2"),), answers=2),
    Case(
        "cut-short",
        (post("/record-read", "Content-Length: 10", body=b"hello", length=False),),
        half_close=True,
        differs={"body-cut-short": ALL},
    ),
    Case(
        "cut-short-unread",
        (post("/ok", "Content-Length: 10", body=b"hello", length=False),),
        half_close=True,
        differs={"body-cut-short": ALL},
    ),
]

IN_CHUNKS = [
    chunked("echo", chunks(b"hello", b" ", b"world")),
    chunked("no-bytes", chunks()),
    chunked("readline", chunks(b"a\nb", b"c\n"), "/by-readline"),
    chunked("unread", chunks(b"hello"), "/unread"),
    chunked("zeros", b"0000000000000000005\r\nhello\r\n0\r\n\r\n"),
    chunked("upper-case", b"A\r\n0123456789\r\n00\r\n\r\n"),
    chunked("extension", b"5;name=value;other\r\nhello\r\n0;last\r\n\r\n"),
    chunked("extension-quoted", b'5;name="a; \\"b"\r\nhello\r\n0\r\n\r\n'),
    chunked("extension-space", b"5 ;name = value\r\nhello\r\n0\r\n\r\n"),
    chunked("space-before-extension", b"5 \t;name=value\r\nhello\r\n0\r\n\r\n"),
    chunked("trailers", b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n"),
    chunked("pipelined", chunks(b"hello") + request("/ok?2"), answers=2),
    chunked("extension-empty", b"5;\r\nhello\r\n0\r\n\r\n"),
    chunked("extension-bare-cr", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    chunked("extension-unclosed-quote", b'5;a="b\r\nhello\r\n0\r\n\r\n'),
    chunked("size-space", b"5 \r\nhello\r\n0\r\n\r\n"),
    chunked("size-leading-space", b" 5\r\nhello\r\n0\r\n\r\n"),
    chunked("size-plus", b"+5\r\nhello\r\n0\r\n\r\n"),
    chunked("size-hex-prefix", b"0x5\r\nhello\r\n0\r\n\r\n"),
    chunked("size-underscore", b"0_5\r\nhello\r\n0\r\n\r\n"),
    chunked("size-empty", b"\r\nhello\r\n0\r\n\r\n"),
    chunked("size-line-feed", b"5\nhello\r\n0\r\n\r\n", differs={"line-feed-words": ALL}),
    chunked("size-endless", b"5;" + b"a" * 9000),
    chunked("data-too-long", b"5\r\nhello!!\r\n0\r\n\r\n"),
    chunked("data-line-feed", b"5\r\nhello\n0\r\n\r\n"),
    chunked("second-is-bad", b"5\r\nhello\r\nzz\r\n\r\n"),
    chunked("trailer-forbidden", b"0\r\nContent-Length: 5\r\n\r\n"),
    chunked("trailer-no-colon", b"0\r\nnonsense\r\n\r\n"),
    chunked("trailer-name", b"0\r\nX(A: b\r\n\r\n"),
    chunked("trailer-underscore", b"0\r\nX_A: b\r\n\r\n"),
    chunked("trailer-line-feed", b"0\r\nX-A: b\n\r\n"),
    chunked("trailers-too-long", b"0\r\n" + b"X-A: b\r\n" * 200 + b"\r\n"),
    chunked("bad-unread", b"zz\r\nhello\r\n0\r\n\r\n", "/ok", differs={"body-gathered": ALL}),
    chunked(
        "size-many-zeros",
        b"0" * 9000 + b"5\r\nhello\r\n0\r\n\r\n",
        differs={"chunk-size-limits": ALL},
    ),
    chunked(
        "size-huge",
        b"f" * 17 + b"\r\nhello\r\n0\r\n\r\n",
        half_close=True,
        differs={"chunk-size-limits": ALL},
    ),
    chunked("extension-long", b"5;a=" + b"b" * 5000 + b"\r\nhello\r\n0\r\n\r\n"),
    chunked("extension-quoted-crlf", b'5;a="b\r\n"\r\nhello\r\n0\r\n\r\n'),
    chunked("extension-two-equals", b"5;a=b=c\r\nhello\r\n0\r\n\r\n"),
    chunked("extension-no-name", b"5;=b\r\nhello\r\n0\r\n\r\n"),
    chunked("no-data", b"", answers=0, half_close=True, differs={"body-cut-short": ALL}),
    chunked("trailer-te", b"0\r\nTE: trailers\r\n\r\n"),
    chunked("trailer-authorization", b"0\r\nAuthorization: x\r\n\r\n"),
    chunked("trailer-folded", b"0\r\nX-A: b\r\n c\r\n\r\n"),
    chunked("trailer-control", b"0\r\nX-A: b\x01\r\n\r\n"),
    chunked("trailer-empty-name", b"0\r\n: b\r\n\r\n"),
    chunked(
        "cut-short", b"5\r\nhel", "/record-read", half_close=True, differs={"body-cut-short": ALL}
    ),
    chunked(
        "cut-short-between",
        b"5\r\nhello\r\n",
        "/record-read",
        half_close=True,
        differs={"body-cut-short": ALL},
    ),
    chunked(
        "cut-short-at-the-end",
        b"5\r\nhello\r\n0\r\n",
        "/record-read",
        half_close=True,
        differs={"body-cut-short": ALL},
    ),
    chunked("1-byte-each", chunks(*(b"%c" % byte for byte in b"hello world"))),
]

EXPECTING = [
    Case(
        "expect-then-body", (post("/echo", CONTINUE, "Content-Length: 5"), b"hello"), interim=True
    ),
    Case("expect-body-at-once", (post("/echo", CONTINUE, body=b"hello"),)),
    Case(
        "expect-upper",
        (post("/echo", "Expect: 100-Continue", "Content-Length: 5"), b"hello"),
        interim=True,
    ),
    Case("expect-chunked", (post("/echo", CONTINUE, CHUNKED), chunks(b"hello")), interim=True),
    Case("expect-1.0", (post("/echo", CONTINUE, body=b"hello", version="HTTP/1.0"),)),
    Case("expect-without-body", (request("/ok", CONTINUE),), differs={"expect-when-read": ALL}),
    Case(
        "expect-large-unread",
        (post("/unread", CONTINUE, "Content-Length: 3000000"),),
        half_close=True,
        differs={"expect-when-read": ALL},
    ),
    Case("expect-fails", (post(say(error="RuntimeError"), CONTINUE, body=b"hello"),)),
]

CASES = [*SIZED, *IN_CHUNKS, *EXPECTING]
