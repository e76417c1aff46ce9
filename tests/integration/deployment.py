"""What stands in front of a server in real life: nginx, a load generator, and a browser.

Only what the Django and Flask tests need; programs that are absent are reported by
`harness.require_program`. Load goes to loopback only, and is bounded in number.
"""

from __future__ import annotations

import os
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path

from harness import free_port, require_program, wait_for
from http_client import Client

NGINX_CONF = """
{user}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/nginx-error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_max_body_size 50m;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {sites}
}}
"""

SITE = """
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
            proxy_pass http://{upstream};
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto https;
        }}
    }}
"""


@contextmanager
def nginx(directory: Path, upstream: str, site: str = SITE) -> Iterator[str]:
    """Runs nginx before a server, given as `H:P` or `unix:/path`; gives the base URL.

    It buffers uploads, as its default is, and says that the client came by https. site: what
    stands in the http block instead, with {upstream} and {port} and other braces doubled.
    """
    program = require_program("nginx")
    directory.mkdir()
    port = free_port()
    conf = directory / "nginx.conf"
    conf.write_text(
        NGINX_CONF.format(
            directory=directory,
            sites=site.format(port=port, upstream=upstream),
            user="user root;" if os.geteuid() == 0 else "",
        )
    )
    log = directory / "nginx-error.log"
    process = subprocess.Popen(
        [program, "-e", str(log), "-p", str(directory), "-c", str(conf)], start_new_session=True
    )

    def listening() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            Client(("127.0.0.1", port)).sock.close()
        except ConnectionRefusedError:
            return False
        return True

    try:
        wait_for(listening, "nginx to listen")
        yield f"http://127.0.0.1:{port}"
        errors = [line for line in log.read_text().splitlines() if "[error]" in line]
        assert errors == []  # nginx writes down each upstream that broke a connection
    finally:
        process.terminate()  # its fast shutdown, which ends its workers too
        process.wait()


def hey(url: str, requests: int, clients: int) -> dict[int, int]:
    """Loads the URL and returns how often each status came; every request must get an answer."""
    program = require_program("hey")
    run = subprocess.run(
        [program, "-n", str(requests), "-c", str(clients), "-t", "30", url],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "Error distribution" not in run.stdout, run.stdout
    return {int(s): int(n) for s, n in re.findall(r"\[(\d+)\]\s+(\d+) responses", run.stdout)}


class Browser:
    """Keeps cookies, follows redirects and submits forms with Django's CSRF token."""

    def __init__(self, base_url: str, scheme: str = "http") -> None:
        """scheme: what the page was reached by, as the user sees it (nginx plays the TLS end)."""
        self.base_url = base_url
        self.origin = scheme + base_url.removeprefix("http")
        self.cookies = CookieJar()
        self.opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(self.cookies), urllib.request.ProxyHandler({})
        )

    def get(self, path: str) -> bytes:
        """The body of a page; raises HTTPError for an error status."""
        with self.opener.open(self.base_url + path, timeout=30) as response:
            return bytes(response.read())

    def post(self, path: str, data: bytes, content_type: str) -> bytes:
        """Posts a body; returns the body of the page that it leads to."""
        headers = {"Content-Type": content_type, "Origin": self.origin}
        request = urllib.request.Request(self.base_url + path, data, headers)
        with self.opener.open(request, timeout=30) as response:
            return bytes(response.read())

    def post_form(self, path: str, fields: dict[str, str]) -> bytes:
        """Posts an urlencoded form."""
        data = urllib.parse.urlencode(fields).encode()
        return self.post(path, data, "application/x-www-form-urlencoded")

    def post_files(
        self, path: str, fields: dict[str, str], files: dict[str, tuple[str, bytes]]
    ) -> bytes:
        """Posts a multipart form; files: field -> (file name, content)."""
        boundary = b"----boundary7MA4YWxkTrZu0gW"
        parts = [
            b'Content-Disposition: form-data; name="%b"\r\n\r\n%b' % (k.encode(), v.encode())
            for k, v in fields.items()
        ]
        parts += [
            b'Content-Disposition: form-data; name="%b"; filename="%b"\r\n'
            b"Content-Type: application/octet-stream\r\n\r\n%b" % (k.encode(), n.encode(), content)
            for k, (n, content) in files.items()
        ]
        body = b"".join(b"--%b\r\n%b\r\n" % (boundary, part) for part in parts)
        return self.post(
            path,
            body + b"--%b--\r\n" % boundary,
            f"multipart/form-data; boundary={boundary.decode()}",
        )

    def csrf_token(self) -> str:
        """The token that the last page set as a cookie."""
        return next(cookie.value for cookie in self.cookies if cookie.name == "csrftoken") or ""
