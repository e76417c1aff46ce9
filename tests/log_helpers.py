"""What the tests of both logs share: settings, a request, logging to oneself."""

import contextlib
import logging
from datetime import timedelta
from types import SimpleNamespace

from cyserve.config import Config
from cyserve.log_state import LoggingState

DEFAULT = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
ENVIRON = {
    "REMOTE_ADDR": "192.0.2.7",
    "REQUEST_METHOD": "GET",
    "RAW_URI": "/a%20b?x=1",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "PATH_INFO": "/a b",
    "QUERY_STRING": "x=1",
    "HTTP_REFERER": "http://example.org/",
    "HTTP_USER_AGENT": "curl/8.0",
}
TOOK = timedelta(seconds=1, microseconds=234567)


def settings(**values):
    cfg = Config()
    for name, value in values.items():
        cfg.set(name, value)
    return cfg


def request(**environ):
    """Return (resp, req, environ, request_time); keywords go into the environ."""
    resp = SimpleNamespace(
        status="200 OK",
        status_code=200,
        sent=12,
        headers=[("Content-Type", "text/html"), ("X-Two", "a"), ("X-Two", "b")],
    )
    req = SimpleNamespace(method="GET", uri="/a%20b?x=1", headers=[("HOST", "h"), ("X-A", "1")])
    return resp, req, {**ENVIRON, **environ}, TOOK


@contextlib.contextmanager
def own_logging():
    """Start with blank loggers of the server's; afterwards all logging is as it was before."""
    state = LoggingState()
    logs = [logging.getLogger("gunicorn.error"), logging.getLogger("gunicorn.access")]
    for log in logs:
        log.handlers.clear()
        log.propagate = True
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        for log in logs:
            vars(log).pop("info", None)
            for handler in log.handlers:
                handler.close()
        state.restore()


def handlers(log):
    """Return the handlers of a logger that pytest did not add."""
    return [h for h in log.handlers if not type(h).__module__.startswith("_pytest")]
