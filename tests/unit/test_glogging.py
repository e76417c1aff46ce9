"""Logger: what its lines look like, what it opens, reopening, the access line by way of logging."""

import logging
import os
import re
import subprocess
import sys
from datetime import timedelta
from types import SimpleNamespace

import pytest
from log_helpers import DEFAULT, handlers, own_logging, request, settings

from cyserve import glogging
from cyserve.glogging import Logger, SafeAtoms

STAMP = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\]"


@pytest.fixture(autouse=True)
def _logging_as_before():
    with own_logging():
        yield


# -- the error log --


def test_an_error_line(tmp_path):
    Logger(settings(errorlog=str(tmp_path / "error"))).info("hello %s", "world")
    line = (tmp_path / "error").read_text()
    assert re.fullmatch(rf"{STAMP} \[{os.getpid()}\] \[INFO\] hello world\n", line)


def test_console_by_default(capsys):
    log = Logger(settings())
    log.warning("to stderr")
    log.access(*request())
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("[WARNING] to stderr\n")
    assert not log.access_log_enabled


@pytest.mark.parametrize(
    ("name", "level"),
    [("debug", 10), ("INFO", 20), ("warning", 30), ("error", 40), ("Critical", 50), ("what", 20)],
)
def test_levels(name, level):
    log = Logger(settings(loglevel=name, errorlog=None))
    assert (log.loglevel, log.error_log.level, log.access_log.level) == (level, level, 20)


def test_each_method_logs_at_its_level(tmp_path):
    log = Logger(settings(loglevel="debug", errorlog=str(tmp_path / "error")))
    for name in ("debug", "info", "warning", "error", "critical"):
        getattr(log, name)("%s", name)
    log.log("Warning", "a name")
    log.log(logging.DEBUG, "a number")
    log.log("no such", "info then")
    try:
        raise ValueError("oops")
    except ValueError:
        log.exception("it said")
    text = re.sub(rf"{STAMP} \[\d+\] ", "", (tmp_path / "error").read_text())
    assert text.splitlines()[:9] == [
        "[DEBUG] debug",
        "[INFO] info",
        "[WARNING] warning",
        "[ERROR] error",
        "[CRITICAL] critical",
        "[WARNING] a name",
        "[DEBUG] a number",
        "[INFO] info then",
        "[ERROR] it said",
    ]
    assert text.endswith("ValueError: oops\n")


def test_the_loggers_do_not_propagate_and_the_handlers_are_marked(tmp_path):
    log = Logger(settings(accesslog=str(tmp_path / "access")))
    assert log.error_log is logging.getLogger("gunicorn.error")
    assert log.access_log is logging.getLogger("gunicorn.access")
    assert not log.error_log.propagate
    assert not log.access_log.propagate
    marked = handlers(log.error_log) + handlers(log.access_log)
    assert [handler._gunicorn for handler in marked] == [True, True]
    assert log._get_gunicorn_handler(log.access_log) is handlers(log.access_log)[0]
    assert log._get_gunicorn_handler(logging.getLogger("other")) is None


@pytest.mark.parametrize("setting", ["errorlog", "accesslog"])
def test_a_file_that_cannot_be_written(setting, tmp_path):
    for path in (tmp_path, tmp_path / "none" / "file"):
        with pytest.raises(RuntimeError, match=rf"^{setting} = .* isn.t writable: "):
            Logger(settings(**{setting: str(path)}))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_files_are_given_to_the_user_of_the_workers(tmp_path):
    null = os.stat(os.devnull)
    log = Logger(settings(accesslog=str(tmp_path / "a"), errorlog=None, user="65534", group="3"))
    info = os.stat(tmp_path / "a")
    assert (info.st_uid, info.st_gid) == (65534, 3)
    (tmp_path / "a").unlink()
    log.reopen_files()  # after a rotation: the workers open it in their turn
    info = os.stat(tmp_path / "a")
    assert (info.st_uid, info.st_gid) == (65534, 3)
    log.setup(settings(accesslog=os.devnull, errorlog=None, user="65534", group="3"))
    assert os.stat(os.devnull)[4:6] == null[4:6]


def test_text_that_the_encoding_lacks_is_escaped(tmp_path):
    Logger(settings(errorlog=str(tmp_path / "error"))).error("\udcff")
    assert (tmp_path / "error").read_text().endswith("\\udcff\n")


# -- capture_output --

CAPTURE = """
import os, sys
from cyserve.config import Config
from cyserve.glogging import Logger
cfg = Config()
cfg.set("errorlog", sys.argv[1])
cfg.set("capture_output", True)
print("before", flush=True)
log = Logger(cfg)
print("printed", flush=True)
os.write(2, b"raw\\n")
os.rename(sys.argv[1], sys.argv[1] + ".1")
log.reopen_files()
print("after", flush=True)
"""


def test_capture_output_and_its_reopening(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CAPTURE, "error"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"before\n", b"")
    assert (tmp_path / "error.1").read_text() == "printed\nraw\n"
    assert (tmp_path / "error").read_text() == "after\n"


# -- reopening --


def test_reopening_covers_every_file_of_the_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = Logger(settings(errorlog="error", accesslog="access", access_log_format="%(s)s"))
    app = logging.getLogger("app")
    handler = logging.FileHandler("app")
    lazy = logging.FileHandler("lazy", delay=True)
    for each in (handler, lazy):
        app.addHandler(each)
    logs = ("error", "access", "app")
    for name in logs:
        os.rename(name, f"{name}.1")
    log.reopen_files()
    log.error("x")
    log.access(*request())
    assert not os.path.exists("lazy")
    app.error("x")
    assert [os.path.getsize(name) > 0 for name in logs] == [True] * 3
    assert [os.path.getsize(f"{name}.1") for name in logs] == [0] * 3
    for each in (handler, lazy):
        app.removeHandler(each)
        each.close()


def test_a_file_that_cannot_be_reopened_goes_on(tmp_path):
    log = Logger(settings(errorlog=str(tmp_path / "logs"), accesslog=None))
    (tmp_path / "logs").rename(tmp_path / "old")
    (tmp_path / "logs").mkdir()
    log.reopen_files()
    log.info("on")
    assert [line.split("] ")[2] for line in (tmp_path / "old").read_text().splitlines()] == [
        "[ERROR",
        "[INFO",
    ]


def test_close_on_exec(tmp_path):
    log = Logger(settings(errorlog=str(tmp_path / "error")))
    fd = handlers(log.error_log)[0].stream.fileno()
    os.set_inheritable(fd, True)
    log.close_on_exec()
    assert not os.get_inheritable(fd)


# -- the access log by way of logging --


@pytest.mark.parametrize(
    ("values", "enabled"),
    [
        ({}, False),
        ({"accesslog": "-"}, True),
        ({"logconfig_json": "/no/such"}, True),
        ({"logconfig_dict": {"root": {}}}, True),
        ({"syslog": True, "syslog_addr": "udp://127.0.0.1:9"}, True),
        (
            {
                "syslog": True,
                "syslog_addr": "udp://127.0.0.1:9",
                "disable_redirect_access_to_syslog": True,
            },
            False,
        ),
    ],
)
def test_access_log_enabled(values, enabled):
    assert Logger(settings(**values)).access_log_enabled is enabled


def test_a_subclass_with_a_setup_of_its_own(tmp_path):
    class Own(Logger):
        def setup(self, cfg):
            self._set_handler(self.access_log, cfg.accesslog, logging.Formatter("own %(message)s"))
            self.access_log.setLevel(logging.INFO)

    log = Own(settings(accesslog=str(tmp_path / "access"), access_log_format="%(s)s"))
    assert log.access_log_enabled
    log.access(*request())
    log.access(*request())
    assert (tmp_path / "access").read_text() == "own 200\nown 200\n"


def test_atoms(monkeypatch):
    monkeypatch.setattr(glogging.time, "time", lambda: 1_800_000_000.5)
    log = Logger(settings(errorlog=None))
    atoms = log.atoms(*request())
    assert re.fullmatch(r"\[15/Jan/2027:\d\d:\d\d:00 [+-]\d{4}\]", atoms.pop("t"))
    assert {key: value for key, value in atoms.items() if key[0] != "{"} == {
        "h": "192.0.2.7",
        "l": "-",
        "u": "-",
        "r": "GET /a%20b?x=1 HTTP/1.1",
        "s": "200",
        "m": "GET",
        "U": "/a b",
        "q": "x=1",
        "H": "HTTP/1.1",
        "b": "12",
        "B": 12,
        "f": "http://example.org/",
        "a": "curl/8.0",
        "T": 1,
        "D": 1234567,
        "M": 1234,
        "L": "1.234567",
        "p": f"<{os.getpid()}>",
    }
    assert (atoms["{x-a}i"], atoms["{x-two}o"], atoms["{raw_uri}e"]) == ("1", "b", "/a%20b?x=1")


def test_safe_atoms():
    atoms = SafeAtoms({"a": 'x"\n', "n": 3, "none": None, "{x}i": "v", "o": ["\n"]})
    assert dict(atoms)["a"] == atoms["a"] == 'x\\"\\x0a'
    assert (atoms["n"], atoms["none"], atoms["{X}i"], atoms["{y}i"], atoms["zz"]) == (
        3,
        None,
        "v",
        "-",
        "-",
    )
    assert atoms["o"] == "['\\n']"


def test_handlers_get_format_and_atoms(tmp_path):
    records = []
    log = Logger(settings(accesslog=str(tmp_path / "access"), errorlog=None))
    handler = logging.Handler()
    handler.emit = records.append
    log.access_log.addHandler(handler)
    log.access(*request())
    (record,) = records
    assert (record.msg, record.args["r"]) == (DEFAULT, "GET /a%20b?x=1 HTTP/1.1")


def test_widths_work_by_way_of_logging(tmp_path):
    template = "%(h)-12s|%(T)3d|%(s)r"
    log = Logger(settings(accesslog=str(tmp_path / "access"), access_log_format=template))
    log.access(*request())
    assert (tmp_path / "access").read_text() == "192.0.2.7   |  1|'200'\n"


def test_a_failure_while_describing_a_request_never_reaches_it(tmp_path):
    class Broken(Logger):
        def atoms(self, resp, req, environ, request_time):
            raise KeyError("broken atoms")

    log = Broken(settings(accesslog="-", errorlog=str(tmp_path / "error")))
    log.access(SimpleNamespace(), None, {}, timedelta())
    assert "broken atoms" in (tmp_path / "error").read_text()
