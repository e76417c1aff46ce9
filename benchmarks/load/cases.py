"""What is asked of the servers: each case is one request shape, declared as data.

A case says which application answers, what the request looks like and what the server has to have
switched on. How it is sent (wrk's script, or raw bytes for the counting tools) is derived here.
"""

from dataclasses import dataclass

_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/128.0.0.0 Safari/537.36"
)

#: What a current desktop browser sends along with a navigation, cookies included (about 700 bytes).
BROWSER = (
    ("Connection", "keep-alive"),
    ("Cache-Control", "max-age=0"),
    ("sec-ch-ua", '"Chromium";v="128", "Not;A=Brand";v="24", "Google Chrome";v="128"'),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", '"Linux"'),
    ("Upgrade-Insecure-Requests", "1"),
    ("User-Agent", _AGENT),
    (
        "Accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    ),
    ("Sec-Fetch-Site", "none"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-User", "?1"),
    ("Sec-Fetch-Dest", "document"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-GB,en;q=0.9,de;q=0.8"),
    ("Cookie", "sessionid=f3a9c1d2e4b5a6978899aabbccddeeff; csrftoken=Zk3tq8Wv1xYb"),
)
CLOSE = (("Connection", "close"),)


@dataclass(frozen=True)
class Case:
    """One request shape.

    `app` is a name in `apps.py`; `body` the size in bytes of the request body (0: none);
    `access_log` asks for an access log written to a file in the server's default format; after an
    answer each connection rests for `pause` milliseconds before it asks again.
    """

    name: str
    title: str
    app: str = "hello"
    method: str = "GET"
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    body: int = 0
    access_log: bool = False
    pause: int = 0

    def request(self, host: str) -> bytes:
        """The request as bytes on the wire, with a Host field for `host`."""
        fields = [("Host", host), *self.headers]
        if self.body:
            fields.append(("Content-Length", str(self.body)))
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{n}: {v}" for n, v in fields)]
        return "\r\n".join([*lines, "", ""]).encode() + b"x" * self.body

    def wrk_script(self) -> str:
        """The case as a wrk (Lua) script; its last output line is the result as JSON."""
        lines = [f"wrk.method = {_lua(self.method)}"]
        lines += [f"wrk.headers[{_lua(name)}] = {_lua(value)}" for name, value in self.headers]
        if self.body:
            lines.append(f'wrk.body = string.rep("x", {self.body})')
        if self.pause:
            lines.append(f"delay = function() return {self.pause} end")
        return "\n".join(lines) + "\n" + _DONE


def _lua(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_DONE = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '{"requests": %d, "duration_us": %d, "bytes": %d, "p50_us": %d, "p99_us": %d, ' ..
    '"p999_us": %d, "errors": {"connect": %d, "read": %d, "write": %d, "status": %d, ' ..
    '"timeout": %d}}\\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50),
    latency:percentile(99), latency:percentile(99.9), e.connect, e.read, e.write, e.status,
    e.timeout))
end
"""

CASES = {
    case.name: case
    for case in (
        Case("hello", "hello, keep-alive"),
        Case("hello-close", "hello, connection per request", headers=CLOSE),
        Case("hello-log", "hello, keep-alive, access log to a file", access_log=True),
        Case(
            "hello-close-log",
            "hello, connection per request, access log to a file",
            headers=CLOSE,
            access_log=True,
        ),
        Case("browser", "browser headers, keep-alive", headers=BROWSER),
        Case(
            "browser-close", "browser headers, connection per request", headers=CLOSE + BROWSER[1:]
        ),
        Case("post-10k", "POST 10 KB", app="upload", method="POST", body=10_000),
        Case("post-1m", "POST 1 MB", app="upload", method="POST", body=1_000_000),
        Case("out-100k", "100 KB out", app="big"),
        Case("out-256k", "256 KB in 16 pieces", app="pieces"),
    )
}
