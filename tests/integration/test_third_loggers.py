"""Loggers of users: in the styles found in the wild, for gunicorn, whatever they override."""

import json
import re
from signal import SIGHUP

import pytest
from harness import wait_for

APP = """
def app(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        raise RuntimeError("on purpose")
    start_response("200 OK", [("X-Request-Id", "42")])
    return [b"ok"]
"""

# As gunicorn-color and its like: formatters swapped in setup, and each of the access log's steps.
COLOR = """
import logging, os, time, traceback
from gunicorn.glogging import Logger, SafeAtoms

COLORS = {"INFO": 32, "WARNING": 33, "ERROR": 31}

class Colored(logging.Formatter):
    def format(self, record):
        return f"\\033[{COLORS.get(record.levelname, 0)}m{super().format(record)}\\033[0m"

class Atoms(SafeAtoms):
    def __getitem__(self, key):
        if key.startswith("!"):
            return super().__getitem__(key[1:]).upper()
        return super().__getitem__(key)

class ColorLogger(Logger):
    error_fmt = "%(levelname)s %(message)s"
    datefmt = "%H:%M"
    atoms_wrapper_class = Atoms

    def __init__(self, cfg):
        self.started = time.time()
        super().__init__(cfg)

    def setup(self, cfg):
        super().setup(cfg)
        self._set_handler(self.error_log, cfg.errorlog, Colored(self.error_fmt, self.datefmt))
        self.error_log.addFilter(lambda record: "secret" not in record.getMessage())

    def now(self):
        return "[now]"

    def atoms(self, resp, req, environ, request_time):
        atoms = super().atoms(resp, req, environ, request_time)
        atoms["q"] = atoms["q"].replace("token", "*****")
        atoms["class"] = f"{resp.status[0]}xx"
        return atoms

    def access(self, resp, req, environ, request_time):
        if req.path == "/health":
            return
        if not (self.cfg.accesslog or self.cfg.logconfig or self.cfg.logconfig_dict
                or (self.cfg.syslog and not self.cfg.disable_redirect_access_to_syslog)):
            return
        atoms = self.atoms_wrapper_class(self.atoms(resp, req, environ, request_time))
        try:
            self.access_log.info(self.cfg.access_log_format, atoms)
        except Exception:
            self.error(traceback.format_exc())
"""

FORMAT = '%(h)s %(t)s "%(!m)s %(U)s?%(q)s" %(class)s %({x-request-id}o)s %({User-Agent}i)s'


def test_a_logger_that_overrides_every_step(start_server):
    config = (
        "accesslog = '-'\nlogger_class = 'colors.ColorLogger'\n"
        f"access_log_format = '''{FORMAT}'''\n"
        "def post_worker_init(worker):\n"
        "    worker.log.info('the secret')\n    worker.log.warning('%s', 'mind it')\n"
    )
    files = {"shop.py": APP, "colors.py": COLOR}
    server = start_server("shop:app", config=config, files=files)
    server.wait_log(r"^\x1b\[32mINFO Booting worker")
    server.wait_log(r"^\x1b\[33mWARNING mind it\x1b\[0m$")
    for path in ("/health", "/pot?token=1"):
        assert server.request(path, headers=[("User-Agent", 'a "b"')]).body == b"ok"
    line = re.escape('127.0.0.1 [now] "GET /pot?*****=1" 2xx 42 a \\"b\\"')
    server.wait_log(f"^{line}$")
    assert server.request("/fail").status == 500
    server.wait_log(r"^\x1b\[31mERROR Error handling request GET /fail")
    server.wait_log(r'\[now\] "GET (?:/fail|None)\?" 5xx - -$')
    server.signal(SIGHUP)  # setup is called again
    server.wait_log("mind it", count=2)
    server.wait_log(r"^\x1b\[32mINFO Worker exiting")
    assert "secret" not in server.log_text()
    assert "/health" not in server.log_text()
    assert server.request("/pot").body == b"ok"
    server.wait_log(r'GET /pot\?"', count=1)


# As in many posts on logging with loguru: setup replaced, what it would do left out.
INTERCEPT = """
import logging, sys
from gunicorn.glogging import Logger

class InterceptHandler(logging.Handler):
    def emit(self, record):
        print(f"<{record.name}|{record.levelname}> {record.getMessage()}", flush=True)

class StubbedGunicornLogger(Logger):
    def setup(self, cfg):
        handler = InterceptHandler()
        for self.name in ("gunicorn.error", "gunicorn.access"):
            log = logging.getLogger(self.name)
            log.handlers = [handler]
            log.setLevel("INFO")
"""

# As is done with structlog: no relation of gunicorn's Logger at all.
UNRELATED = '''
import json, sys

class StructLogger:
    """Only what gunicorn calls."""

    def __init__(self, cfg):
        self.cfg = cfg

    def _write(self, level, event, *args, **kwargs):
        event = event % args if args else event
        # In one write, newline and all: two processes share the pipe, and print makes two.
        sys.stdout.write(json.dumps({"level": level, "event": event}) + "\\n")
        sys.stdout.flush()

    def critical(self, *args, **kwargs): self._write("critical", *args)
    def error(self, *args, **kwargs): self._write("error", *args)
    def warning(self, *args, **kwargs): self._write("warning", *args)
    def info(self, *args, **kwargs): self._write("info", *args)
    def debug(self, *args, **kwargs): pass
    def exception(self, *args, **kwargs): self._write("exception", *args)
    def log(self, level, *args, **kwargs): self._write(level, *args)
    def reopen_files(self): pass
    def close_on_exec(self): pass

    def access(self, resp, req, environ, request_time):
        self._write("access", f"{req.method} {req.path} {resp.status} {resp.sent}")
'''


def test_a_logger_that_replaces_setup(start_server):
    args = ("--logger-class", "loggers.StubbedGunicornLogger", "--access-logfile", "-")
    files = {"shop.py": APP, "loggers.py": INTERCEPT}
    server = start_server("shop:app", *args, wait=False, files=files)
    (host, port), *_ = server.wait_log(r"<gunicorn\.error\|INFO> Listening at: http://(\S+):(\d+)")
    server.addresses = [(host, int(port))]
    assert server.request("/pot").body == b"ok"
    server.wait_log(r'<gunicorn\.access\|INFO> 127\.0\.0\.1 - - \[.*\] "GET /pot HTTP/1\.1" 200 2')
    assert server.request("/fail").status == 500
    server.wait_log(r"<gunicorn\.error\|ERROR> Error handling request GET /fail")
    assert server.stop() == 0


@pytest.mark.parametrize("kind", ["sync", "gthread", "gevent", "tornado"])
def test_a_logger_that_is_no_relation(start_server, kind):
    args = ("--logger-class", "loggers.StructLogger", "-k", kind)
    files = {"shop.py": APP, "loggers.py": UNRELATED}
    server = start_server("shop:app", *args, files=files)

    def events(level):
        lines = server.log_text().rpartition("\n")[0].splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [event["event"] for event in found if event["level"] == level]

    assert server.request("/pot").body == b"ok"
    if kind != "tornado":  # it has a log of its own, and no answer for an application that fails
        assert server.request("/fail").status == 500
        wait_for(lambda: "GET /pot 200 OK 2" in events("access"), "the access line")
        wait_for(lambda: "Error handling request GET /fail" in events("exception"), "the error")
    old = server.worker_pids()
    server.signal(SIGHUP)
    server.wait_workers(1, but_not=old)
    assert server.request("/pot").body == b"ok"
    assert server.stop() == 0
    assert events("info")[-1] == "Shutting down: Master"
