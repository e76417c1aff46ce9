"""Setting up the logs: logging configurations, syslog, and reloads that fail."""

import json
import logging
import logging.handlers
import os
import socket
import subprocess
import sys

import pytest
from log_helpers import handlers, own_logging, request, settings

from cyserve.glogging import Logger, parse_syslog_address
from cyserve.log_state import LoggingState


@pytest.fixture(autouse=True)
def _logging_as_before():
    with own_logging():
        yield


# -- logging configurations --

OWN = {
    "handlers": {
        "own": {"class": "logging.FileHandler", "formatter": "own", "filename": "own.log"}
    },
    "formatters": {"own": {"format": "own %(name)s %(message)s"}},
    "loggers": {"gunicorn.access": {"handlers": ["own"], "level": "INFO", "propagate": False}},
    "root": {"level": "INFO", "handlers": ["own"]},
}


def test_logconfig_dict_is_laid_over_the_defaults(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    log = Logger(settings(logconfig_dict=OWN, access_log_format="%(s)s"))
    log.access(*request())
    log.error("still on stderr")
    logging.getLogger("app").info("from the app")
    assert (tmp_path / "own.log").read_text() == "own gunicorn.access 200\nown app from the app\n"
    assert capsys.readouterr().err.endswith("[ERROR] still on stderr\n")


def test_logconfig_json(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log.json").write_text(json.dumps(OWN))
    Logger(settings(logconfig_json="log.json", access_log_format="%(s)s")).access(*request())
    assert (tmp_path / "own.log").read_text() == "own gunicorn.access 200\n"


INI = """
[loggers]
keys=root, access
[handlers]
keys=own
[formatters]
keys=own
[logger_root]
handlers=own
[logger_access]
qualname=gunicorn.access
handlers=own
propagate=0
[handler_own]
class=FileHandler
formatter=own
args=("%(here)s/own.log",)
[formatter_own]
format=ini %(message)s
"""


def test_logconfig_ini(tmp_path):
    (tmp_path / "log.ini").write_text(INI)
    other = logging.getLogger("other")
    log = Logger(settings(logconfig=str(tmp_path / "log.ini"), access_log_format="%(s)s"))
    log.access(*request())
    assert (tmp_path / "own.log").read_text() == "ini 200\n"
    assert not other.disabled


def test_the_dict_wins_over_json_and_json_over_ini(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log.json").write_text(json.dumps(OWN))
    (tmp_path / "log.ini").write_text(INI)
    files = {"logconfig": "log.ini", "logconfig_json": "log.json"}
    own = {**OWN, "formatters": {"own": {"format": "dict %(message)s"}}}
    log = Logger(settings(logconfig_dict=own, access_log_format="%(s)s", **files))
    log.access(*request())
    log.setup(settings(access_log_format="%(s)s", **files))
    log.access(*request())
    assert (tmp_path / "own.log").read_text() == "dict 200\nown gunicorn.access 200\n"


def test_a_missing_json_file_is_told_but_not_fatal(capsys):
    Logger(settings(logconfig_json="/no/such.json"))
    assert "log config '/no/such.json' not found" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("logconfig", None, "^logconfig = '.*bad': there is no such file"),
        ("logconfig", "no sections", "is invalid|no section headers"),
        ("logconfig", "[loggers]\nkeys=root\n", "^logconfig = '.*bad': KeyError: 'formatters'"),
        ("logconfig_json", "{", "^logconfig_json = '.*bad': Expecting property name"),
        ("logconfig_json", "[]", "top level is not an object"),
        ("logconfig_json", '{"version": 2}', "^logconfig_json = '.*bad': Unsupported version: 2"),
        (
            "logconfig_json",
            '{"handlers": {"x": {"class": "no.such"}}}',
            r"Unable to configure handler 'x' \(",
        ),
    ],
)
def test_a_bad_log_config_is_one_clear_error(name, content, text, tmp_path):
    if content is not None:
        (tmp_path / "bad").write_text(content)
    with pytest.raises(RuntimeError, match=text):
        Logger(settings(**{name: str(tmp_path / "bad")}))


# -- syslog --


@pytest.mark.parametrize(
    ("address", "parsed"),
    [
        ("udp://localhost:514", (socket.SOCK_DGRAM, ("localhost", 514))),
        ("udp://loghost", (socket.SOCK_DGRAM, ("loghost", 514))),
        ("udp://", (socket.SOCK_DGRAM, ("localhost", 514))),
        ("tcp://h:99", (socket.SOCK_STREAM, ("h", 99))),
        ("tcp://[::1]:99", (socket.SOCK_STREAM, ("::1", 99))),
        ("udp://[::1]", (socket.SOCK_DGRAM, ("::1", 514))),
        ("unix:///dev/log", (None, "/dev/log")),
        ("unix:///dev/log#dgram", (socket.SOCK_DGRAM, "/dev/log")),
        ("unix:///dev/log#stream", (socket.SOCK_STREAM, "/dev/log")),
    ],
)
def test_syslog_addresses(address, parsed):
    assert parse_syslog_address(address) == parsed


@pytest.mark.parametrize("address", ["h:9", "localhost", "xx://h", "UDP://h", ""])
def test_invalid_syslog_addresses(address):
    with pytest.raises(RuntimeError, match="invalid syslog address"):
        parse_syslog_address(address)


@pytest.mark.parametrize("port", ["abc", "99/path", "-1", "\u0661", "65536"])
def test_invalid_syslog_ports(port):
    with pytest.raises(RuntimeError, match=f"'{port}' is not a valid port number"):
        parse_syslog_address(f"udp://h:{port}")


def test_syslog_over_udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        address = f"udp://127.0.0.1:{server.getsockname()[1]}"
        common = {"errorlog": None, "syslog": True, "syslog_addr": address}
        log = Logger(settings(proc_name="app:app", **common))
        log.warning("hi")
        log.access(*request())
        pid = os.getpid()
        assert server.recv(999) == b"<12>gunicorn.app.app.error: [%d] hi\0" % pid
        assert server.recv(999).startswith(b"<14>gunicorn.app.app.access: [%d] 192.0.2.7 " % pid)

        log.setup(
            settings(
                syslog_prefix="50%:x",
                syslog_facility="LOCAL3",
                disable_redirect_access_to_syslog=True,
                **common,
            )
        )
        log.access(*request())
        log.info("hi")
        assert server.recv(999) == b"<158>gunicorn.50%%:x.error: [%d] hi\0" % pid
        assert not log.access_log_enabled


def test_syslog_over_a_unix_socket(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "log"))
        server.settimeout(10)
        address = f"unix://{tmp_path}/log#dgram"
        Logger(settings(errorlog=None, syslog=True, syslog_addr=address)).info("hi")
        assert server.recv(999).endswith(b" hi\0")


def test_syslog_over_a_unix_stream(tmp_path):
    """Also without the word for the type: both are tried."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "log"))
        server.listen()
        for suffix in ("#stream", ""):
            cfg = settings(
                errorlog=None,
                syslog=True,
                syslog_addr=f"unix://{tmp_path}/log{suffix}",
                disable_redirect_access_to_syslog=True,
            )
            Logger(cfg).info("hi")
            connection, _ = server.accept()
            with connection:
                assert connection.recv(999).endswith(b" hi\0")


def test_syslog_over_tcp():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        Logger(settings(errorlog=None, syslog=True, syslog_addr=address)).info("hi")
        connection, _ = server.accept()
        with connection:
            assert connection.recv(999).endswith(b" hi\0")
        refused = address
    with pytest.raises(RuntimeError, match=r"syslog_addr = 'tcp://.*' can't be reached: .*refused"):
        Logger(settings(errorlog=None, syslog=True, syslog_addr=refused))


def test_unknown_syslog_facility():
    text = "^syslog_facility = 'bogus': unknown facility name, allowed are auth, .*, local7$"
    with pytest.raises(RuntimeError, match=text):
        Logger(settings(syslog=True, syslog_facility="bogus"))


@pytest.mark.parametrize(
    ("address", "why"),
    [("h:9", "invalid syslog address, allowed are udp://"), ("udp://h:x", "'x' is not a valid")],
)
def test_the_setting_with_a_wrong_syslog_address_is_named(address, why):
    with pytest.raises(RuntimeError, match=f"^syslog_addr = '{address}': {why}"):
        Logger(settings(syslog=True, syslog_addr=address))


# -- setting up again --


def picture(log):
    return [
        (logger.handlers[:], logger.level, logger.propagate, logger.disabled)
        for logger in (logging.root, log.error_log, log.access_log)
    ] + [dict(vars(log))]


@pytest.mark.parametrize(
    "bad",
    [
        {"errorlog": "/no/such/dir/file"},
        {"accesslog": "/no/such/dir/file"},
        {"logconfig": "/no/such.ini"},
        {"logconfig_dict": {**OWN, "root": {"handlers": ["no such"]}}},
        {"logconfig_dict": {"handlers": {"x": {"class": "no.such"}}}},
        {"syslog": True, "syslog_facility": "bogus"},
        {"syslog": True, "syslog_addr": "bogus"},
    ],
)
def test_a_failed_reload_changes_nothing(bad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app_handler = logging.FileHandler("app.log")
    app = logging.getLogger("app")
    app.addHandler(app_handler)
    log = Logger(settings(accesslog="access", errorlog="error", access_log_format="%(s)s"))
    before = picture(log)
    streams = [handler.stream for handler in (*log.error_log.handlers, *log.access_log.handlers)]
    with pytest.raises(RuntimeError):
        log.setup(settings(loglevel="error", access_log_format="new", **bad))
    assert picture(log) == before
    assert not any(stream.closed for stream in streams)
    log.info("still there")
    log.access(*request())
    app.warning("and the app")
    app.removeHandler(app_handler)
    app_handler.close()
    assert (tmp_path / "error").read_text().endswith("still there\n")
    assert (tmp_path / "access").read_text() == "200\n"
    assert (tmp_path / "app.log").read_text() == "and the app\n"


def test_a_reload_replaces_the_handlers_and_closes_the_old(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = Logger(settings(accesslog="access", errorlog="error"))
    extra = logging.NullHandler()
    log.error_log.addHandler(extra)
    old = handlers(log.error_log)[0].stream
    log.setup(settings(accesslog="access2", errorlog="error2", access_log_format="%(s)s"))
    assert old.closed
    assert extra in log.error_log.handlers
    assert len(handlers(log.error_log)) == 2
    for _ in range(2):
        log.access(*request())
    log.error_log.removeHandler(extra)
    assert (tmp_path / "access").read_text() == ""
    assert (tmp_path / "access2").read_text() == "200\n200\n"


def test_a_reload_without_the_logconfig_forgets_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    both = {"handlers": ["own"], "propagate": True}
    loggers = {"gunicorn.error": both, "gunicorn.access": both}
    log = Logger(settings(logconfig_dict={**OWN, "loggers": loggers}))
    assert log.error_log.propagate
    log.setup(settings(accesslog="access", access_log_format="%(s)s", errorlog="error"))
    log.access(*request())
    log.error("x")
    assert (tmp_path / "access").read_text() == "200\n"
    assert (tmp_path / "own.log").read_text() == ""
    assert (tmp_path / "error").read_text().count("\n") == 1


def test_handlers_of_the_application_survive_a_new_logconfig(tmp_path, monkeypatch):
    """logging.config alone would close every handler of the process."""
    monkeypatch.chdir(tmp_path)
    with open("app.log", "w") as stream:
        app = logging.getLogger("app")
        handler = logging.handlers.MemoryHandler(1, target=logging.StreamHandler(stream))
        app.addHandler(handler)
        Logger(settings(logconfig_dict={**OWN, "disable_existing_loggers": False}))
        app.error("kept")
        app.removeHandler(handler)
    assert (tmp_path / "app.log").read_text() == "kept\n"


def test_logging_state_closes_what_was_made_since():
    state = LoggingState()
    handler = logging.FileHandler(os.devnull)
    logging.root.addHandler(handler)
    state.restore()
    assert handler.stream is None
    assert handler not in logging.root.handlers


@pytest.mark.parametrize("before", ["", "logging.__getattr__ = lambda name: None\n"])
def test_parts_of_logging_that_were_never_imported(before):
    """Config files use them so, as gunicorn happens to import them."""
    code = (
        "from cyserve import log_config; logging.handlers.QueueHandler; logging.config.dictConfig"
    )
    run = [sys.executable, "-c", f"import logging\n{before}{code}"]
    assert subprocess.run(run, capture_output=True, text=True, check=False).stderr == ""
