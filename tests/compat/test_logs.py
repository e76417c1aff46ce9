"""What both programs log: every atom of the access log, syslog, loggers that users wrote."""

import re
import socket

import pytest
from differences import compare
from http_client import Client, request_bytes

ATOMS = (
    "%(h)s %(l)s %(u)s %(t)s|%(r)s|%(s)s %(m)s %(U)s|%(q)s|%(H)s %(b)s %(B)s|%(f)s|%(a)s|"
    "%(T)s %(M)s %(D)s %(L)s %(p)s|%({x-a}i)s|%({X-A}i)s|%({none}i)s|%({content-type}o)s|"
    "%({server}o)s|%({wsgi.url_scheme}e)s|%({REMOTE_ADDR}e)s|%(nope)s|%%|%(m)10s|%(s)-6s|%(B)05d"
)
REQUESTS = [
    request_bytes("/ok"),
    request_bytes(
        "/ok?a=b%20c&%22",
        headers=[("Referer", 'http://from/"q"'), ("User-Agent", 'a "b" \\ c'), ("X-A", "1")],
    ),
    request_bytes("/ok", headers=[("Authorization", "Basic YW5uOnNlY3JldA=="), ("X-A", "\xe9")]),
    request_bytes("/ok", headers=[("Authorization", "Basic !")]),
    request_bytes("/ok", headers=[("Authorization", "Bearer x")]),
    request_bytes("/ok", "HEAD"),
    request_bytes("/%7Euser/x%2Fy"),
    request_bytes("/status?line=204+No+Content"),
    request_bytes("/status?line=299+Made+Up"),
    request_bytes("/echo", "POST", body=b"12345"),
    request_bytes("/big-generator"),
    request_bytes("/by-write"),
    b"GET /ok HTTP/1.0\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
]


def normal(line):
    """Times and process ids become letters; their form stays."""
    line = re.sub(r"\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}", "TIME", line)
    return re.sub(r"\d+ \d+ \d+ \d+\.\d{6} <\d+>", "TOOK <PID>", line)


@pytest.mark.parametrize("args", [(), ("-k", "gthread", "--threads=2")], ids=["sync", "gthread"])
def test_every_atom(start_server, oracle, kernel, args):
    def run(**options):
        server = start_server(
            "requests_app:app",
            "--access-logfile=access.log",
            *args,
            config=f"access_log_format = {ATOMS!r}",
            **options,
        )
        for sent in REQUESTS:
            with Client(server.address) as client:
                client.send(sent).finish_sending()
                client.read_to_eof()
        server.stop()
        return [normal(line) for line in (server.directory / "access.log").read_text().split("\n")]

    gunicorn, cyserve = run(program=oracle), run(kernel=kernel)
    assert len(gunicorn) == len(REQUESTS) + 1
    assert all("TOOK" in line for line in gunicorn[:-1])
    compare(gunicorn, cyserve)


def test_syslog(start_server, oracle, kernel):
    def run(name, **options):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", 0))
            receiver.settimeout(30)
            server = start_server(
                "requests_app:app",
                "--no-control-socket",
                "--log-syslog",
                f"--log-syslog-to=udp://127.0.0.1:{receiver.getsockname()[1]}",
                "--log-syslog-facility=local3",
                **options,
            )
            server.request("/ok?x")
            with Client(server.address) as client:
                client.send(b"GET / HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n").read_to_eof()
            server.stop()
            got = []
            while b"Shutting down" not in (got or [b""])[-1]:
                got.append(receiver.recv(9000))
        # Whether gunicorn's worker dies of a second TERM is chance (lives.py).
        got = [m for m in got if not (options.get("program") and b"was sent SIGTERM!" in m)]
        lines = [
            re.sub(r"\d+(?=[\])])|(?<=pid: )\d+|:\d+(?= )", "N", normal(m.decode())) for m in got
        ]
        return sorted(re.sub(rf"Starting {name} \S+\0", "Starting NAME\0", line) for line in lines)

    gunicorn, cyserve = run("gunicorn", program=oracle), run("cyserve", kernel=kernel)
    assert sum(".access: " in line for line in gunicorn) == 1

    def with_the_refused_one(lines):
        [served] = [line for line in lines if ".access: " in line]
        refused = re.sub(r'"GET /ok\?x HTTP/1.1" 200 2', '"GET / HTTP/1.1" 400 0', served)
        return sorted([*lines, refused])

    compare(gunicorn, cyserve, differs={"refused-logged": with_the_refused_one})


OWN = """
import logging, os, sys
from gunicorn.glogging import CONFIG_DEFAULTS, Logger, SafeAtoms, loggers

class Quiet(logging.Filter):
    def filter(self, record):
        return "/by-write" not in record.args["r"]

class Wrapper(SafeAtoms):
    def __getitem__(self, key):
        return "<%s>" % key if key == "custom" else super().__getitem__(key)

class Own(Logger):
    error_fmt = "E %(levelname)s %(message)s"
    access_fmt = "A %(message)s"
    atoms_wrapper_class = Wrapper
    seen = 0

    def __init__(self, cfg):
        self.before = True
        super().__init__(cfg)
        self.after = self._get_gunicorn_handler(self.error_log) is not None

    def setup(self, cfg):
        super().setup(cfg)
        self.access_log.addFilter(Quiet())
        self._set_handler(self.access_log, "second.log", logging.Formatter("S %(message)s"))

    def now(self):
        return "[now]"

    def atoms(self, resp, req, environ, request_time):
        atoms = super().atoms(resp, req, environ, request_time)
        atoms["path"] = environ.get("PATH_INFO")
        atoms["status"] = resp.status_code
        return atoms

    def access(self, resp, req, environ, request_time):
        self.seen += 1
        if req.path != "/status":
            super().access(resp, req, environ, request_time)
        self.info("seen %d %s %s", self.seen, self.before, self.after)
"""


@pytest.mark.parametrize("args", [("--access-logfile=access.log",), ()], ids=["access", "none"])
def test_a_logger_of_ones_own(start_server, oracle, kernel, args):
    form = "%(h)s %(t)s %(path)s %(status)s %(custom)s %(nope)s"

    def run(**options):
        server = start_server(
            "requests_app:app",
            "--no-control-socket",
            "--logger-class=own.Own",
            *args,
            config=f"access_log_format = {form!r}",
            files={"own.py": OWN},
            errorlog="error.log",
            **options,
        )
        for path in ("/ok", "/by-write", "/status?line=200+OK", "/none-such"):
            server.request(path)
        server.stop()
        texts = {path.name: path.read_text() for path in server.directory.glob("*.log")}
        texts["error.log"] = [
            line for line in texts["error.log"].split("\n") if "seen" in line or "ERROR" in line
        ]
        return texts

    gunicorn = run(program=oracle)
    assert len(gunicorn["error.log"]) == 4
    if args:
        assert len(gunicorn["second.log"].splitlines()) == 2
    compare(gunicorn, run(kernel=kernel))
