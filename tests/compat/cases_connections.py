"""Cases about connections: how long they live, pipelining, upgrades, proxies and what they say."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping

from cases import request, say
from exchange import ALL, KEEPING, Case

Differs = Mapping[str, tuple[str, ...]]

LIVES = [
    Case("keeps", (request(), request("/ok?2"), request("/ok?3"))),
    Case("keeps-unix", (request(), request("/ok?2")), listener=1),
    Case("keeps-chunked", (request("/by-write"), request("/ok"))),
    Case("asked-to-close", (request("/ok", "Connection: close"),)),
    Case("asked-to-close-upper", (request("/ok", "Connection: CLOSE"),)),
    Case(
        "asked-in-a-list",
        (request("/ok", "Connection: x, close"),),
        differs={"connection-lists": KEEPING},
    ),
    Case(
        "asked-in-a-second",
        (request("/ok", "Connection: x", "Connection: close"),),
        differs={"connection-lists": KEEPING},
    ),
    Case("asked-to-keep", (request("/ok", "Connection: keep-alive"),)),
    Case(
        "asked-both",
        (request("/ok", "Connection: keep-alive, close"),),
        differs={"connection-lists": KEEPING},
    ),
    Case("other-option", (request("/ok", "Connection: x"),)),
    Case("1.0-keeps", (request("/ok", "Connection: keep-alive", version="HTTP/1.0"), request())),
    Case(
        "1.0-keeps-list",
        (request("/ok", "Connection: keep-alive, x", version="HTTP/1.0"),),
        differs={"connection-lists": KEEPING},
    ),
    Case("1.0-keeps-unframed", (request(say(), "Connection: keep-alive", version="HTTP/1.0"),)),
    Case("keepalive-off", (request(),), "small"),
    Case("pipelined", (request() + request("/ok?2") + request("/by-write"),), answers=3),
    Case(
        "pipelined-close", (request() + request("/ok", "Connection: close") + request(),), answers=2
    ),
    Case(
        "pipelined-head",
        (request("/ok", method="HEAD") + request("/ok", method="HEAD"),),
        answers=2,
    ),
    Case(
        "pipelined-then-bad",
        (request() + b"nonsense\r\n\r\n",),
        answers=2,
        differs={"refused-logged": KEEPING},
    ),
    Case("error-page-then-closed", (request(say(error="RuntimeError")) + request(),), answers=2),
    Case(
        "mid-answer-error-then-closed",
        (request(say(kind="iterable", late_error="RuntimeError")) + request(),),
        answers=2,
        differs={"access-after-close": ALL},
    ),
    Case("connect-then-closed", (request("/ok", method="CONNECT") + request(),), answers=2),
    Case("bad-after-keep", (request(), b"nonsense\r\n\r\n"), differs={"refused-logged": KEEPING}),
    Case("empty-line-between", (request() + b"\r\n" + request("/ok?2"),), answers=2),
    Case(
        "two-empty-lines-between",
        (request() + b"\r\n\r\n" + request("/ok?2"),),
        answers=2,
        differs={"refused-logged": KEEPING},
    ),
    Case("half-closed-between", (request(), request("/ok?2")), half_close=True),
    Case("pipelined-post", (2 * request("/echo", method="POST", body=b"hello"),), answers=2),
    Case("pipelined-errors", (request("/nowhere") + request("/no-items"),), answers=2),
    Case("post-unread-keeps", (request("/ok", method="POST", body=b"x" * 60000), request())),
    Case(
        "1.0-pipelined",
        (2 * request("/ok", "Connection: keep-alive", version="HTTP/1.0"),),
        answers=2,
    ),
    Case(
        "1.0-chunked-answer", (request("/by-write", "Connection: keep-alive", version="HTTP/1.0"),)
    ),
    Case("204-keeps", (request("/say?%7B%22status%22%3A%22204%20No%22%7D"), request())),
    Case("proxy-connection", (request("/ok", "Proxy-Connection: close"),)),
    Case(
        "keep-alive-upper",
        (request("/ok", "Connection: Keep-Alive", version="HTTP/1.0"), request()),
    ),
    Case("upgrade-not-taken", (request("/ok", "Connection: Upgrade", "Upgrade: websocket"),)),
    Case(
        "upgrade-websocket",
        (request("/echo-socket", "Connection: Upgrade", "Upgrade: websocket"), b"hello"),
        answers=0,
        half_close=True,
    ),
    Case(
        "upgrade-without-asking",
        (
            request(
                say(
                    status="101 Switching Protocols",
                    fields=[["Upgrade", "websocket"], ["Connection", "Upgrade"]],
                    items=[],
                )
            ),
        ),
        answers=0,
    ),
    Case(
        "upgrade-h2c",
        (
            request(
                "/ok",
                "Connection: Upgrade, HTTP2-Settings",
                "Upgrade: h2c",
                "HTTP2-Settings: AAMAAABk",
            ),
        ),
    ),
]


def environ(
    name: str,
    *fields: str,
    config: str = "plain",
    target: str = "/dump",
    listener: int = 0,
    differs: Differs | None = None,
    **more: object,
) -> Case:
    raw = request(target, *fields, **more)  # type: ignore[arg-type]
    return Case(f"environ-{name}", (raw,), config, listener, differs=differs or {})


ENVIRONS = [
    environ("get"),
    environ("unix", listener=1),
    environ("unix-host-and-port", "Host: example.org:81", host=False, listener=1),
    environ("unix-no-host", host=False, listener=1),
    environ("unix-empty-host", "Host:", host=False, listener=1),
    environ("unix-ipv6-host", "Host: [::1]:81", host=False, listener=1, differs={"ipv6-host": ALL}),
    environ(
        "unix-ipv6-host-no-port", "Host: [::1]", host=False, listener=1, differs={"ipv6-host": ALL}
    ),
    environ("query", target="/dump?a=b&c=%20+&&d"),
    environ("query-twice", target="/dump?a?b"),
    environ("empty-query", target="/dump?"),
    environ("fragment", target="/dump?a#b?c"),
    environ("semicolon", target="/dump;a=b?c"),
    environ("escapes", target="/%64um%70"),
    environ("absolute", target="http://u:p@other.example:81/dump?x"),
    environ("post", "Content-Type: text/plain", method="POST", body=b"hello"),
    environ(
        "chunked", "Transfer-Encoding: chunked", method="POST", body=b"0\r\n\r\n", length=False
    ),
    environ("1.0", version="HTTP/1.0"),
    environ("1.0-no-host", version="HTTP/1.0", host=False),
    environ("repeated", "X-A: 1", "X-B: 2", "x-a: 3", "X-A:"),
    environ("cookies", "Cookie: a=b", "Cookie: c=d", differs={"cookie-join": ALL}),
    environ(
        "usual",
        "User-Agent: x",
        "Accept: */*",
        "Accept-Encoding: gzip",
        "Accept-Language: de",
        "Referer: y",
        "Authorization: Basic eA==",
        "Cache-Control: no-cache",
        'If-None-Match: "z"',
        "Origin: null",
    ),
    environ("latin", "X-A: caf\xe9"),
    environ("spaces", "X-A:  a  b  "),
    environ("odd-names", "X.A: 1", "X!A: 2", "1: 3", "~: 4", "Content-Typ: 5"),
    environ("empty-content-type", "Content-Type:"),
    environ(
        "connection", "Connection: keep-alive", "Keep-Alive: 5", "TE: trailers", "Upgrade: h2c"
    ),
    environ("expect", "Expect: 100-continue", method="POST", body=b"hello"),
    environ("proxy-field", "Proxy: evil", differs={"proxy-field": ALL}),
    environ("scheme", "X-Forwarded-Proto: https"),
    environ("scheme-upper", "X-Forwarded-Proto: HTTPS"),
    environ("scheme-ssl", "X-Forwarded-Ssl: on"),
    environ("scheme-protocol", "X-Forwarded-Protocol: ssl"),
    environ(
        "scheme-agree",
        "X-Forwarded-Protocol: ssl",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Ssl: on",
    ),
    environ("scheme-repeated", "X-Forwarded-Proto: https", "X-Forwarded-Proto: https"),
    environ("scheme-untrusted", "X-Forwarded-Proto: https", config="untrusted"),
    environ(
        "scheme-unix-untrusted",
        "X-Forwarded-Proto: https",
        "X-Forwarded-For: 1.2.3.4",
        config="untrusted",
        listener=1,
    ),
    environ("scheme-unix-port", "X-Forwarded-Proto: https", listener=1),
    environ("scheme-own", "X-Scheme: tls", config="mounted", target="/app/dump"),
    environ(
        "scheme-default-not-own", "X-Forwarded-Proto: https", config="mounted", target="/app/dump"
    ),
    environ(
        "forwarded-for", "X-Forwarded-For: 1.2.3.4", "X-Real-IP: 1.2.3.4", "Forwarded: for=1.2.3.4"
    ),
    environ("underscores", "X_A: 1", "X-A: 2"),
    environ("underscores-lenient", "X_A: 1", "X-A: 2", "Content_Length: 5", config="lenient"),
    environ("mounted", config="mounted", target="/app/dump?x"),
    environ("mounted-exactly", config="mounted", target="/app"),
    environ("mounted-escape", config="mounted", target="/app/%64ump"),
    environ("mounted-outside", config="mounted", target="/dump", differs={"reason-phrases": ALL}),
    environ(
        "mounted-boundary",
        config="mounted",
        target="/application",
        differs={"script-name-boundary": ALL},
    ),
    environ("script-name-not-allowed", "SCRIPT_NAME: /x", target="/dump", config="untrusted"),
    environ("script-name-dropped", "Script-Name: /x", target="/dump"),
    environ("script-name", "SCRIPT_NAME: /x", config="proxied", target="/x/dump"),
    environ(
        "script-name-slash",
        "SCRIPT_NAME: /x/",
        config="proxied",
        target="/x/dump",
        differs={"script-name-boundary": ALL},
    ),
    environ(
        "script-name-outside", "SCRIPT_NAME: /x", config="proxied", differs={"reason-phrases": ALL}
    ),
    environ("script-name-unix", "SCRIPT_NAME: /x", config="proxied", target="/x/dump", listener=1),
    environ(
        "script-name-and-setting", "SCRIPT_NAME: /app/dump", config="mounted", target="/app/dump"
    ),
    environ(
        "forwarder-fields",
        "PATH_INFO: /elsewhere",
        "REMOTE_USER: me",
        "X_OTHER: no",
        config="proxied",
    ),
    environ("method-casefold", config="lenient", method="get"),
    environ("folded", "X-A: b\r\n\t c", config="lenient"),
]

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(command: int, family: int, block: bytes = b"", size: int | None = None) -> bytes:
    """A PROXY header of version 2; command with the version's four bits."""
    return (
        SIGNATURE
        + struct.pack(">BBH", command, family, len(block) if size is None else size)
        + block
    )


V4 = socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.2") + struct.pack(">HH", 1111, 80)
V6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7") * 2 + struct.pack(">HH", 1111, 80)
TLV = b"\x04\0\x03abc"
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.2 1111 80\r\n"


def proxied(
    name: str, header: bytes, config: str = "proxied", listener: int = 0, **more: object
) -> Case:
    target = "/app/dump" if config == "mounted" else "/dump"
    return Case(f"proxy-{name}", (header + request(target),), config, listener, **more)  # type: ignore[arg-type]


PROXIES = [
    proxied("v1-tcp4", V1),
    proxied("v1-tcp6", b"PROXY TCP6 2001:db8::7 2001:db8::8 1111 80\r\n"),
    proxied("v1-unix", V1, listener=1),
    proxied("v1-unknown", b"PROXY UNKNOWN\r\n", differs={"proxy-v1-unknown": ALL}),
    proxied(
        "v1-unknown-with-addresses",
        b"PROXY UNKNOWN 192.0.2.7 198.51.100.2 1111 80\r\n",
        differs={"proxy-v1-unknown": ALL},
    ),
    proxied(
        "v1-five-fields",
        b"PROXY TCP4 192.0.2.7 198.51.100.2 1111\r\n",
        differs={"refused-logged": ALL},
    ),
    proxied(
        "v1-bad-address",
        b"PROXY TCP4 192.0.2.777 198.51.100.2 1111 80\r\n",
        differs={"refused-logged": ALL},
    ),
    proxied(
        "v1-family-mismatch",
        b"PROXY TCP6 192.0.2.7 198.51.100.2 1111 80\r\n",
        differs={"refused-logged": ALL},
    ),
    proxied(
        "v1-port",
        b"PROXY TCP4 192.0.2.7 198.51.100.2 1111 65536\r\n",
        differs={"refused-logged": ALL},
    ),
    proxied(
        "v1-port-word",
        b"PROXY TCP4 192.0.2.7 198.51.100.2 a 80\r\n",
        differs={"refused-logged": ALL},
    ),
    proxied(
        "v1-port-and-address",
        b"PROXY TCP4 192.0.2.777 198.51.100.2 1111 a\r\n",
        differs={"refused-logged": ALL},
    ),
    proxied(
        "v1-port-with-zero",
        b"PROXY TCP4 192.0.2.7 198.51.100.2 1111 080\r\n",
        differs={"proxy-v1-ports": ALL},
    ),
    proxied(
        "v1-port-plus",
        b"PROXY TCP4 192.0.2.7 198.51.100.2 1111 +80\r\n",
        differs={"proxy-v1-ports": ALL},
    ),
    proxied("v1-port-0", b"PROXY TCP4 192.0.2.7 198.51.100.2 0 0\r\n"),
    proxied(
        "v1-lower",
        b"PROXY tcp4 192.0.2.7 198.51.100.2 1111 80\r\n",
        differs={"refused-logged": ALL},
    ),
    proxied(
        "v1-short-address",
        b"PROXY TCP4 127.1 198.51.100.2 1111 80\r\n",
        differs={"refused-logged": ALL},
    ),
    proxied("v1-mapped", b"PROXY TCP6 ::ffff:192.0.2.7 2001:DB8::8 1111 80\r\n"),
    proxied(
        "v1-two-spaces",
        b"PROXY  TCP4 192.0.2.7 198.51.100.2 1111 80\r\n",
        differs={"refused-logged": ALL},
    ),
    proxied(
        "v1-word", b"PROXY UDP4 192.0.2.7 198.51.100.2 1111 80\r\n", differs={"refused-logged": ALL}
    ),
    proxied("v1-twice", V1 + V1, differs={"refused-logged": ALL}),
    proxied("v2-tcp4", v2(0x21, 0x11, V4)),
    proxied("v2-tcp6", v2(0x21, 0x21, V6)),
    proxied("v2-tlv", v2(0x21, 0x11, V4 + TLV)),
    proxied("v2-unix", v2(0x21, 0x11, V4), listener=1),
    proxied("v2-local", v2(0x20, 0x00), differs={"proxy-v2-local": ALL}),
    proxied("v2-unspec", v2(0x21, 0x00), differs={"proxy-v2-local": ALL}),
    proxied("v2-unix-family", v2(0x21, 0x31, bytes(216)), differs={"proxy-v2-local": ALL}),
    proxied("v2-datagram", v2(0x21, 0x12, V4), differs={"proxy-v2-datagram": ALL}),
    proxied("v2-short", v2(0x21, 0x11, V4[:8]), differs={"proxy-bad-v2": ALL}),
    proxied("v2-version-1", v2(0x11, 0x11, V4), differs={"proxy-bad-v2": ALL}),
    proxied("v2-command", v2(0x2F, 0x11, V4), differs={"proxy-bad-v2": ALL}),
    proxied("none", b""),
    proxied(
        "v2-in-v1", v2(0x21, 0x11, V4), "untrusted", listener=1, differs={"refused-logged": ALL}
    ),
    proxied("v1-in-v2", V1, "mounted", differs={"refused-logged": ALL}),
    proxied("v2-in-v2", v2(0x21, 0x11, V4), "mounted"),
    proxied("v1-not-allowed", V1, "untrusted", differs={"refused-logged": ALL}),
    proxied("v1-unix-untrusted", V1, "untrusted", listener=1),
    Case(
        "proxy-v1-kept",
        (V1 + request("/dump"), request("/dump")),
        "proxied",
        differs={"proxy-kept": ("gthread",)},
    ),
    Case("proxy-v1-scheme", (V1 + request("/dump", "X-Forwarded-Proto: https"),), "proxied"),
    Case(
        "proxy-v2-bad-request",
        (v2(0x21, 0x11, V4) + b"nonsense\r\n\r\n",),
        "proxied",
        differs={"refused-logged": ALL},
    ),
]

CASES = [*LIVES, *ENVIRONS, *PROXIES]
