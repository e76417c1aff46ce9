"""What one access line costs: written directly, by way of logging, and by gunicorn's own Logger.

The aim is a tenth of gunicorn's at most. The line goes to a real file; the default format and the
head of a browser are used.
"""

import logging
from datetime import timedelta
from types import SimpleNamespace

import pytest

from cyserve import access_log, glogging
from cyserve.config import Config
from cyserve.log_state import LoggingState

DEFAULT = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
RESPONSE = SimpleNamespace(
    status="200 OK", status_code=200, sent=1234, headers=[("Content-Type", "text/html")]
)
FIELDS = {
    "HOST": "example.org",
    "CONNECTION": "keep-alive",
    "CACHE_CONTROL": "max-age=0",
    "UPGRADE_INSECURE_REQUESTS": "1",
    "USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36",
    "ACCEPT": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "REFERER": "https://example.org/page/one",
    "ACCEPT_ENCODING": "gzip, deflate, br",
    "ACCEPT_LANGUAGE": "en-US,en;q=0.9",
    "COOKIE": "session=0123456789abcdef; theme=dark",
}
REQUEST = SimpleNamespace(headers=[(k.replace("_", "-"), v) for k, v in FIELDS.items()])
ENVIRON = {
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.multithread": False,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
    "SERVER_SOFTWARE": "cyserve",
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "8000",
    "SCRIPT_NAME": "",
    "REMOTE_PORT": "54321",
    "REMOTE_ADDR": "192.0.2.7",
    "REQUEST_METHOD": "GET",
    "RAW_URI": "/some/path?x=y",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "PATH_INFO": "/some/path",
    "QUERY_STRING": "x=y",
    **{f"HTTP_{name}": value for name, value in FIELDS.items()},
}
ARGUMENTS = (RESPONSE, REQUEST, ENVIRON, timedelta(microseconds=1234))


@pytest.fixture(autouse=True)
def _logging_as_before():
    state = LoggingState()
    yield
    state.restore()


def direct(path):
    cfg = Config()
    cfg.set("accesslog", path)
    log = glogging.Logger(cfg)
    log.access(*ARGUMENTS)
    assert log._direct.armed
    return log


def by_logging(path):
    log = direct(path)
    log.access_log.addFilter(lambda record: True)  # one customisation and logging does it all
    return log


def gunicorn(path):
    config = pytest.importorskip("gunicorn.config")
    cfg = config.Config()
    cfg.set("accesslog", path)
    return pytest.importorskip("gunicorn.glogging").Logger(cfg)


@pytest.mark.parametrize("make", [direct, by_logging, gunicorn])
@pytest.mark.benchmark(group="access line to a file")
def test_access_line(benchmark, make, tmp_path):
    # Before a test pytest adds its own handlers to loggers that do not propagate.
    logging.getLogger("gunicorn.access").handlers.clear()
    log = make(str(tmp_path / "access"))
    benchmark(log.access, *ARGUMENTS)
    assert b"Safari" in (tmp_path / "access").read_bytes()[-200:]


@pytest.mark.benchmark(group="access line as text")
def test_line_as_text(benchmark):
    line = access_log.compile_format(DEFAULT)
    assert benchmark(line, *ARGUMENTS).endswith('Safari/537.36"')
