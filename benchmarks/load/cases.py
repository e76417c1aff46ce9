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


#: What most cases are served by, and the frameworks' modules beside it (`app_*.py`).
PLAIN = "load_apps"
CHUNK = 16_384


@dataclass(frozen=True)
class Case:
    """One request shape.

    Args:
        name: as given to `--cases`.
        title: what is asked, in a few words.
        app: the application's name in its module.
        module: the module's name in the run's directory.
        body: bytes of the request body (0: none).
        chunked: the body comes in chunks of 16 KB, its length is not told.
        pipeline: requests that are sent together, before any of them is answered.
        access_log: an access log is written to a file, in the server's default format.
        tls: over TLS, with a certificate made for the run.
        workers: with more than one, server and client share both cores.
        pause: milliseconds that a connection rests after an answer before it asks again.
    """

    name: str
    title: str
    app: str = "hello"
    module: str = PLAIN
    method: str = "GET"
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    body: int = 0
    chunked: bool = False
    pipeline: int = 1
    access_log: bool = False
    tls: bool = False
    workers: int = 1
    pause: int = 0

    @property
    def closes(self) -> bool:
        """Each request has a connection of its own."""
        return ("Connection", "close") in self.headers

    def request(self, host: str) -> bytes:
        """The request as bytes on the wire, with a Host field for `host`."""
        fields = [("Host", host), *self.headers]
        if self.chunked:
            fields.append(("Transfer-Encoding", "chunked"))
        elif self.body:
            fields.append(("Content-Length", str(self.body)))
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{n}: {v}" for n, v in fields)]
        head = "\r\n".join([*lines, "", ""]).encode()
        if not self.chunked:
            return head + b"x" * self.body
        sizes = [min(CHUNK, self.body - start) for start in range(0, self.body, CHUNK)]
        chunks = [b"%x\r\n%s\r\n" % (size, b"x" * size) for size in sizes]
        return b"".join([head, *chunks, b"0\r\n\r\n"])

    def wrk_script(self) -> str:
        """The case as a wrk (Lua) script; its last output line is the result as JSON."""
        lines = [f"wrk.method = {_lua(self.method)}"]
        lines += [f"wrk.headers[{_lua(name)}] = {_lua(value)}" for name, value in self.headers]
        if self.chunked:
            lines.append('wrk.headers["Transfer-Encoding"] = "chunked"')
            whole, rest = divmod(self.body, CHUNK)
            lines.append(f"body = {_chunks(CHUNK, whole)} .. {_chunks(rest, 1)} .. {_chunks(0, 1)}")
        elif self.body:
            lines.append(f'wrk.body = string.rep("x", {self.body})')
        if self.chunked or self.pipeline > 1:
            # wrk itself sends one request with a known length: these are laid out once, by hand.
            one = "wrk.format() .. body" if self.chunked else "wrk.format()"
            lines.append(f"init = function() raw = string.rep({one}, {self.pipeline}) end")
            lines.append("request = function() return raw end")
        if self.pause:
            lines.append(f"delay = function() return {self.pause} end")
        return "\n".join(lines) + "\n" + _DONE


def _chunks(size: int, count: int) -> str:
    """The Lua expression for so many chunks of that size; the last one has the size 0."""
    data = f'"{size:x}\\r\\n" .. string.rep("x", {size}) .. "\\r\\n"'
    return f"string.rep({data}, {count})" if size else '"0\\r\\n\\r\\n"'


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
        Case("browser", "browser headers, keep-alive", headers=BROWSER),
        Case("hello-close", "hello, connection per request", headers=CLOSE),
        Case(
            "browser-close", "browser headers, connection per request", headers=CLOSE + BROWSER[1:]
        ),
        Case("pipeline", "hello, 16 requests pipelined", pipeline=16),
        Case("hello-log", "hello, access log to a file", access_log=True),
        Case(
            "hello-close-log",
            "hello, connection per request, access log to a file",
            headers=CLOSE,
            access_log=True,
        ),
        Case("hello-tls", "hello, TLS, keep-alive", tls=True),
        Case("two-workers", "hello, 2 workers on 2 cores", workers=2),
        Case("post-10k", "POST 10 KB", app="upload", method="POST", body=10_000),
        Case("post-1m", "POST 1 MB", app="upload", method="POST", body=1_000_000),
        Case(
            "chunked-1m",
            "POST 1 MB, chunked",
            app="upload",
            method="POST",
            body=1_000_000,
            chunked=True,
        ),
        Case("out-100k", "100 KB out", app="big"),
        Case("out-256k", "256 KB in 16 pieces", app="pieces"),
        Case("file-1m", "1 MB by wsgi.file_wrapper", app="file"),
        Case("flask", "Flask hello", app="app", module="load_flask"),
        Case("django", "Django hello", app="app", module="load_django"),
        Case(
            "django-page",
            "Django page: template, ORM, SQLite",
            app="app",
            module="load_django",
            path="/page",
        ),
    )
}
