"""The access line: its text both ways, who writes it, and what happens when nobody can."""

import base64
import logging
import logging.config
import os
import re
import threading
import time
import unicodedata
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_helpers import DEFAULT, ENVIRON, TOOK, own_logging, request, settings

from cyserve import _accel, access_log, glogging
from cyserve.access_log import compile_format, escape

clock = _accel.runtime.CLOCK


@pytest.fixture(autouse=True)
def _logging_as_before():
    with own_logging():
        yield


def direct_log(tmp_path):
    """Return a Logger whose access log is the file `access` and that already writes directly.

    (Not a fixture: before a test starts pytest adds handlers to loggers that do not propagate.)
    """
    logger = glogging.Logger(
        settings(accesslog=str(tmp_path / "access"), errorlog=str(tmp_path / "error"))
    )
    logger.access(*request())
    assert logger._direct.armed
    return logger


def basic(credentials):
    return "Basic " + base64.b64encode(credentials.encode()).decode()


def both_ways(template, resp, req, environ, request_time):
    """Return the line as compiled and as logging would give it, in the same second."""
    logger = glogging.Logger(settings(errorlog=None, access_log_format=template))
    line = compile_format(template)
    while True:
        second = clock.second()
        atoms = logger.atoms_wrapper_class(logger.atoms(resp, req, environ, request_time))
        made = line(resp, req, environ, request_time), template % atoms
        if second == clock.second() == int(time.time()):
            return made


# -- text --

FORMATS = [
    DEFAULT,
    "%(h)s|%(l)s|%(u)s|%(t)s|%(r)s|%(s)s|%(m)s|%(U)s|%(q)s|%(H)s|%(b)s|%(B)s|%(f)s|%(a)s|%(p)s",
    "%(T)s %(M)s %(D)s %(L)s %(T)d %(M)d %(D)d",
    "%({host}i)s %({X-a}i)s %({x-two}o)s %({content-TYPE}o)s %({raw_uri}e)s %({PATH_INFO}e)s",
    "%({none}i)s %({none}o)s %({none}e)s %(none)s %()s %({}i)s %({host)s %({host}x)s",
    '{"r": "%(r)s", "ua": "%(a)s", "%%": 100%%}',
    "tab\there \x1b[1m%(a)s\x1b[0m é € %(U)s",
    "%({app.flag}e)s %({app.thing}e)s %({app.none}e)s %(h)s %(h)s",
    "no atoms",
    "",
]
REQUESTS = [
    {},
    {"HTTP_USER_AGENT": 'he said "hi" \\', "HTTP_REFERER": '"'},
    {"HTTP_USER_AGENT": "a\r\nb\x00c\x1b[31md\x7f\x85\x9b\te", "RAW_URI": "/\n"},
    {"PATH_INFO": "/\xc3\xa9\xa0\xad", "HTTP_USER_AGENT": "\u20ac\u2028\u202e\ud800"},
    {"REMOTE_ADDR": "", "QUERY_STRING": ""},
    {"app.flag": True, "app.thing": SimpleNamespace(a="\n"), "app.none": None, "App.Flag": 1},
    {"HTTP_AUTHORIZATION": basic("jo:secret")},
    {"HTTP_AUTHORIZATION": basic('j"o\n:secret')},
]


@pytest.mark.parametrize("environ", REQUESTS)
@pytest.mark.parametrize("template", FORMATS)
def test_both_ways_give_the_same_text(template, environ):
    compiled, logged = both_ways(template, *request(**environ))
    assert compiled == logged


@pytest.mark.parametrize("name", list(ENVIRON))
def test_both_ways_agree_when_a_key_is_missing(name, tmp_path):
    log = direct_log(tmp_path)
    args = request()
    del args[2][name]
    log.access(*args)
    log.access(*args)
    lines = [*map(re.compile(r"\[.*?\]").sub, ["T"] * 3, read(tmp_path / "access"))]
    assert len(lines) == 3
    assert lines[1] == lines[2]


def test_the_default_line(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    stamp = access_log.time_text(1_800_000_000)
    line = compile_format(DEFAULT)(*request(HTTP_AUTHORIZATION=basic("jo:x")))
    line = re.sub(r"\[.*?\]", stamp, line)
    assert re.fullmatch(r"\[15/Jan/2027:\d\d:\d\d:00 [+-]\d{4}\]", stamp)
    assert line == (
        f'192.0.2.7 - jo {stamp} "GET /a%20b?x=1 HTTP/1.1" 200 12 "http://example.org/" "curl/8.0"'
    )


def test_times():
    line = compile_format("%(T)s %(M)s %(D)s %(L)s %(D)d")
    assert line(*request()) == "1 1234 1234567 1.234567 1234567"


def test_the_time_moves_on(monkeypatch):
    line = compile_format("%(t)s")
    texts = []
    for ahead in (0.0, 3600.0, 7200.0):
        monkeypatch.setattr(clock, "ahead", ahead)
        while True:
            second = clock.second()
            texts.append(line(*request()))
            if second == clock.second():
                break
            texts.pop()
        assert texts[-1] == access_log.time_text(second)
    assert len(set(texts)) == 3


@pytest.mark.parametrize(("sent", "shown"), [(None, "- None"), (0, "0 0"), (7, "7 7")])
def test_bytes_sent(sent, shown):
    args = request()
    args[0].sent = sent
    assert both_ways("%(b)s %(B)s", *args) == (shown, shown)


@pytest.mark.parametrize("headers", [[("A", "1")], {"A": "1"}, (("a", "0"), ("A", "1"))])
def test_the_request_may_be_its_bare_header_fields(headers):
    resp, _, environ, took = request()
    assert both_ways("%({a}i)s", resp, headers, environ, took) == ("1", "1")


@pytest.mark.parametrize(
    "template", ["%(h", "%h", "%", "%(h)5s", "%(h)-9s|", "%(s)r", "%(h)d", "%(B)d", "%(a(b))s"]
)
def test_the_rest_of_percent_formatting_is_left_to_logging(template):
    assert compile_format(template) is None


def test_a_field_name_is_data_not_source():
    line = compile_format("""%({'+__import__("os")+'}i)s%({"}e)s""")
    assert line is None or line(*request()) == "--"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain é €", "plain é €"),
        ('"', '\\"'),
        ("\\", "\\"),
        ("\n\r\t\x00", "\\x0a\\x0d\\x09\\x00"),
        ("\x1b[0m\x7f\x9b", "\\x1b[0m\\x7f\\x9b"),
        ("\u2028\u202e\udc80", "\\u2028\\u202e\\udc80"),
    ],
)
def test_escape(text, safe):
    assert escape(text) == safe


encodable = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.text(), st.text(), encodable)
def test_no_value_can_break_out_of_its_line(agent, uri, user):
    args = request(HTTP_USER_AGENT=agent, RAW_URI=uri, HTTP_AUTHORIZATION=basic(user))
    template = '%(u)s "%(r)s" "%(a)s"'
    line = compile_format(template)(*args)
    assert not {unicodedata.category(char) for char in line} & {"Cc", "Zl", "Zp", "Cs"}
    assert len(line.encode().splitlines()) == 1
    log = glogging.Logger(settings(errorlog=None))
    assert line == template % glogging.SafeAtoms(log.atoms(*args))


@pytest.mark.parametrize(
    ("field", "user"),
    [
        (basic("jo:secret"), "jo"),
        (basic("jo"), "jo"),
        (basic("é:x"), "é"),
        ("basic  " + basic("jo:x")[6:], "jo"),
        (basic(":x"), None),
        ("Basic", None),
        ("Basic !!!", None),
        ("Basic 6Tp4", None),
        ("Basic \u20ac", None),
        ("Bearer abc", None),
    ],
)
def test_basic_user(field, user):
    assert access_log.basic_user({"HTTP_AUTHORIZATION": field}) == user


# -- who writes it --


def read(path):
    return path.read_text().splitlines()


class Spy:
    """Counts the lines that go by way of logging."""

    def __init__(self, log):
        self.count = 0
        log.access_log.info = self.info

    def info(self, template, atoms):
        self.count += 1
        logging.Logger.info(logging.getLogger("gunicorn.access"), template, atoms)


def test_an_untouched_log_is_written_directly(tmp_path):
    log = direct_log(tmp_path)
    spy = Spy(log)
    for _ in range(3):
        log.access(*request())
    assert spy.count == 0
    assert len(read(tmp_path / "access")) == 4


def customise_level(log, handler, patch):
    log.access_log.setLevel(logging.WARNING)


def customise_filter(log, handler, patch):
    log.access_log.addFilter(lambda record: False)


def customise_handler_filter(log, handler, patch):
    handler.addFilter(lambda record: False)


def customise_handler_level(log, handler, patch):
    handler.setLevel(logging.ERROR)


def customise_disabled(log, handler, patch):
    log.access_log.disabled = True


def customise_all_disabled(log, handler, patch):
    logging.disable(logging.INFO)


def customise_no_handler(log, handler, patch):
    log.access_log.handlers.clear()


def customise_tools(log, handler, patch):
    patch.setattr(logging.Logger, "callHandlers", lambda self, record: None)


@pytest.mark.parametrize(
    "customise",
    [
        customise_level,
        customise_filter,
        customise_handler_filter,
        customise_handler_level,
        customise_disabled,
        customise_all_disabled,
        customise_no_handler,
        customise_tools,
    ],
)
def test_what_silences_logging_silences_the_line(customise, tmp_path, monkeypatch):
    log = direct_log(tmp_path)
    customise(log, log.access_log.handlers[0], monkeypatch)
    log.access(*request())
    log.access(*request())
    assert len(read(tmp_path / "access")) == 1


def test_a_formatter_set_later_is_used(tmp_path):
    log = direct_log(tmp_path)
    log.access_log.handlers[0].setFormatter(logging.Formatter("JSON %(message)s"))
    log.access(*request())
    log.access(*request())
    assert [line[:4] for line in read(tmp_path / "access")] == ["192.", "JSON", "JSON"]


def test_a_second_handler_gets_the_lines_too(tmp_path):
    log = direct_log(tmp_path)
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    log.access_log.addHandler(handler)
    log.access(*request())
    assert [record.args["s"] for record in records] == ["200"]
    assert len(read(tmp_path / "access")) == 2


def test_propagation_set_later_is_honoured(caplog, tmp_path):
    log = direct_log(tmp_path)
    log.access_log.propagate = True
    log.access(*request())
    assert [record.name for record in caplog.records] == ["gunicorn.access"]


def test_back_to_direct_when_the_customising_ends(tmp_path):
    log = direct_log(tmp_path)
    spy = Spy(log)
    log.access_log.addFilter(passing := logging.Filter())
    log.access(*request())
    log.access_log.removeFilter(passing)
    log.access(*request())
    log.access(*request())
    assert spy.count == 1
    assert len(read(tmp_path / "access")) == 4


def test_lines_go_on_after_the_application_configured_logging(tmp_path):
    """dictConfig closes every handler of the process; a FileHandler opens again by itself."""
    log = direct_log(tmp_path)
    spy = Spy(log)
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    for _ in range(3):
        log.access(*request())
    assert len(read(tmp_path / "access")) == 4
    assert spy.count == 1


class OwnAtoms(glogging.Logger):
    def atoms(self, resp, req, environ, request_time):
        return {**super().atoms(resp, req, environ, request_time), "h": "own"}


class OwnNow(glogging.Logger):
    def now(self):
        return "own"


class OwnUser(glogging.Logger):
    def _get_user(self, environ):
        return "own"


class OwnWrapper(glogging.Logger):
    class atoms_wrapper_class(glogging.SafeAtoms):
        def __getitem__(self, key):
            return "own"


@pytest.mark.parametrize("logger_class", [OwnAtoms, OwnNow, OwnUser, OwnWrapper])
def test_a_subclass_decides_the_text(logger_class, tmp_path):
    log = logger_class(settings(accesslog=str(tmp_path / "access"), errorlog=None))
    log.access(*request())
    log.access(*request())
    assert [line.count("own") > 0 for line in read(tmp_path / "access")] == [True, True]


@pytest.mark.parametrize("where", ["class", "object"])
def test_a_patch_made_before_the_first_line_decides_the_text(where, tmp_path, monkeypatch):
    log = glogging.Logger(settings(accesslog=str(tmp_path / "access"), errorlog=None))
    monkeypatch.setattr(glogging.Logger if where == "class" else log, "now", lambda *self: "own")
    log.access(*request())
    log.access(*request())
    assert [" own " in line for line in read(tmp_path / "access")] == [True, True]


def test_standard_output_keeps_the_order_of_what_is_printed(capsys):
    log = glogging.Logger(settings(accesslog="-", errorlog=None, access_log_format="%(m)s"))
    for n in range(3):
        print(n, end=" ")
        log.access(*request())
    assert log._direct.armed
    assert capsys.readouterr().out == "0 GET\n1 GET\n2 GET\n"


# -- files --


def test_reopening(tmp_path):
    log = direct_log(tmp_path)
    spy = Spy(log)
    fd = log._direct.fd
    (tmp_path / "access").rename(tmp_path / "access.1")
    log.access(*request())
    log.reopen_files()
    log.access(*request())
    assert len(read(tmp_path / "access.1")) == 2
    assert len(read(tmp_path / "access")) == 1
    assert log._direct.fd == fd
    assert spy.count == 0


def test_reopening_where_nothing_can_be_opened_keeps_the_old_file(tmp_path):
    log = direct_log(tmp_path)
    (tmp_path / "access").rename(tmp_path / "old")
    (tmp_path / "access").mkdir()
    log.reopen_files()
    log.access(*request())
    assert len(read(tmp_path / "old")) == 2
    assert "isn't writable" in (tmp_path / "error").read_text()


def test_reopening_while_threads_write_loses_and_tears_nothing(tmp_path):
    log = direct_log(tmp_path)
    rounds, each = 20, 200
    threads = [
        threading.Thread(target=lambda: [log.access(*request()) for _ in range(each)])
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for n in range(rounds):
        (tmp_path / "access").rename(tmp_path / f"old{n}")
        log.reopen_files()
    for thread in threads:
        thread.join()
    lines = [line for path in [*tmp_path.glob("old*"), tmp_path / "access"] for line in read(path)]
    assert len(lines) == 1 + 3 * each
    assert all(line.startswith("192.") and line.endswith('"curl/8.0"') for line in lines)


def test_several_workers_never_tear_lines(tmp_path):
    log = direct_log(tmp_path)
    each = 300
    pids = []
    for letter in "abcd":
        pid = os.fork()
        if pid == 0:
            args = request(HTTP_USER_AGENT=letter * 500)
            for _ in range(each):
                log.access(*args)
            os._exit(0)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 4
    lines = read(tmp_path / "access")[1:]
    assert len(lines) == 4 * each
    assert all(re.fullmatch(r'192.*"(a{500}|b{500}|c{500}|d{500})"', line) for line in lines)


# -- a target that takes nothing --


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_costs_lines_and_is_told_once(tmp_path, monkeypatch):
    log = glogging.Logger(settings(accesslog="/dev/full", errorlog=str(tmp_path / "error")))
    log._arm()
    for _ in range(5):
        log.access(*request())
    assert log._direct.lost == 5
    (line,) = read(tmp_path / "error")
    assert "No space left on device" in line
    monkeypatch.setattr("time.monotonic", lambda: log._direct.report_after + 1)
    log.access(*request())
    assert "lost so far: 6" in read(tmp_path / "error")[1]


def test_a_pipe_whose_reader_left_or_does_not_read(tmp_path):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    log = glogging.Logger(settings(accesslog=None, errorlog=str(tmp_path / "error")))
    with open(writer, "w") as stream:
        log._set_handler(log.access_log, "-", logging.Formatter("%(message)s"), stream)
        log._arm()
        while not log._direct.lost:
            log.access(*request())
        assert os.read(reader, 1 << 16).startswith(b"192.0.2.7 ")
        os.close(reader)
        log.access(*request())
        assert log._direct.lost == 2
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, writer)
        os.close(null)
    assert len(read(tmp_path / "error")) == 1


def test_a_response_that_cannot_be_described_is_told_in_the_error_log(tmp_path):
    log = direct_log(tmp_path)
    _, req, environ, took = request()
    log.access(SimpleNamespace(), req, environ, took)
    assert len(read(tmp_path / "access")) == 1
    assert "AttributeError" in (tmp_path / "error").read_text()


def test_an_odd_status_goes_the_long_way(tmp_path):
    log = direct_log(tmp_path)
    args = request()
    args[0].status = None
    log.access(*args)
    assert '" None 12 ' in read(tmp_path / "access")[1]
    assert TOOK == args[3]
