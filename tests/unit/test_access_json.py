"""The access log as JSON: types, escaping, chosen fields, and every way a line can take."""

import json
import logging
import math
import os
import re
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_helpers import own_logging, request, settings

from cyserve import access_json, glogging
from cyserve.access_json import compile_json, parse

TOLD = {
    "remote_addr": "192.0.2.7",
    "remote_user": None,
    "method": "GET",
    "target": "/a%20b?x=1",
    "protocol": "HTTP/1.1",
    "status": 200,
    "bytes_sent": 12,
    "duration": 1.234567,
    "referer": "http://example.org/",
    "user_agent": "curl/8.0",
    "pid": os.getpid(),
}


@pytest.fixture(autouse=True)
def _logging_as_before():
    with own_logging():
        yield


def row(template="json", **environ):
    return json.loads(compile_json(template)(*request(**environ)))


def logger_to(path, cls=glogging.Logger):
    values = {"accesslog": str(path), "access_log_format": "json"}
    return cls(settings(errorlog=f"{path}.err", **values))


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


# -- text --


def test_the_default_fields_and_their_types():
    before = datetime.now(timezone.utc).replace(microsecond=0)
    found = row()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["time"])
    assert before <= datetime.fromisoformat(found["time"].replace("Z", "+00:00"))
    assert list(found) == list(access_json.DEFAULT)
    del found["time"]
    assert found == TOLD


def test_the_time_moves_on(monkeypatch):
    line = compile_json("json:time")
    for now, shown in [
        (1_800_000_000.0, "2027-01-15T08:00:00.000Z"),
        (1_800_000_000.9999, "2027-01-15T08:00:00.999Z"),
        (1_800_000_001.25, "2027-01-15T08:00:01.250Z"),
    ]:
        monkeypatch.setitem(line.__globals__, "clock", lambda now=now: now)
        assert json.loads(line(*request())) == {"time": shown}


def test_what_is_absent_is_null():
    _, req, _, took = request()
    resp = SimpleNamespace(status=None, sent=None, headers=[])
    refused = {"REQUEST_METHOD": "-", "RAW_URI": "-", "PATH_INFO": "-", "SERVER_PROTOCOL": "-"}
    template = "json:" + ",".join(access_json.FIELDS)
    found = json.loads(compile_json(template)(resp, req, {**refused, "REMOTE_ADDR": ""}, took))
    assert {key for key, value in found.items() if value is not None} == {"time", "duration", "pid"}


def test_chosen_fields_keys_and_headers():
    template = "json:status, who={X-A}i,{x-two}o,{app.n}e,path,query,host,scheme,{none}i"
    environ = {"app.n": 7, "HTTP_HOST": "h:1", "wsgi.url_scheme": "https"}
    found = row(template, **environ)
    assert found == {
        "status": 200,
        "who": "1",
        "x-two": "b",
        "app.n": 7,
        "path": "/a b",
        "query": "x=1",
        "host": "h:1",
        "scheme": "https",
        "none": None,
    }
    assert list(found)[:2] == ["status", "who"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, True),
        (1.5, 1.5),
        (math.inf, "inf"),
        (None, None),
        (b"x", "b'x'"),
        (["a"], "['a']"),
        ("\xc3\xa9", "é"),  # bytes that are UTF-8
        ("\xe9", "\xe9"),  # bytes that are not
        ("\ud800", "\ud800"),
        ("☃", "☃"),
    ],
)
def test_values_of_any_type(value, shown):
    found = row("json:{app.x}e,status", **{"app.x": value})
    assert found == {"app.x": shown, "status": 200}


@pytest.mark.parametrize(
    ("status", "number"),
    [("404 Not Found", 404), ("200", 200), ("2x0 Odd", None), ("", None), ("-1 No", None)],
)
def test_the_status_is_a_number_or_null(status, number):
    resp, *rest = request()
    resp.status = status
    assert json.loads(compile_json("json:status")(resp, *rest)) == {"status": number}


def test_a_request_of_more_than_a_day():
    resp, req, environ, _ = request()
    line = compile_json("json:duration")(resp, req, environ, timedelta(days=2, microseconds=1))
    assert line == '{"duration": 172800.000001}'


LATIN = st.text(st.characters(max_codepoint=255))


@given(LATIN, LATIN, LATIN)
def test_no_value_can_break_out_of_its_line(agent, target, user):
    line = compile_json("json:user_agent,target,{x}e", "\n")(
        *request(HTTP_USER_AGENT=agent, RAW_URI=f"/{target}", x=user)
    )
    assert line.isascii()
    assert line[:-1].isprintable()
    assert line.endswith("}\n")
    found = json.loads(line)
    for key, sent in (("user_agent", agent), ("target", f"/{target}"), ("x", user)):
        assert found[key] == sent or found[key].encode() == sent.encode("latin-1")


def test_a_key_is_data_not_source():
    key = "\"'{x}\\"
    assert row(f"json:{key}=status") == {key: 200}
    assert row("json:{'}i,k={\"]}e") == {"'": None, "k": None}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("json:", "'' is no field; allowed are time, remote_addr, "),
        ("json:status,stauts", "'stauts' is no field"),
        ("json:a=", "'' is no field"),
        ("json:{x}q", "'{x}q' is no field"),
        ("json:status,status=pid", "two fields are called 'status'"),
    ],
)
def test_a_bad_list_of_fields_is_refused_with_the_setting(template, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        parse(template)
    with pytest.raises(ValueError, match=re.escape(f"access_log_format = {template!r}: {text}")):
        settings(access_log_format=template)


# -- who writes it --


def test_a_line_is_one_write(tmp_path, monkeypatch):
    log = logger_to(tmp_path / "access")
    log.access(*request())
    assert log._direct.armed
    writes = []
    monkeypatch.setattr("os.write", lambda fd, data: writes.append(data) or len(data))
    log.access(*request(HTTP_USER_AGENT="x" * 9000))
    monkeypatch.undo()
    [line] = writes
    assert json.loads(line)["user_agent"] == "x" * 9000
    assert line.endswith(b"}\n")


def test_the_line_is_the_same_by_way_of_logging(tmp_path):
    log = logger_to(tmp_path / "access")
    seen = []
    log.access_log.addFilter(lambda record: seen.append(record.getMessage()) or True)
    log.access(*request(HTTP_USER_AGENT="100%s \xc3\xa9 -"))
    [found] = rows(tmp_path / "access")
    assert [json.loads(text) for text in seen] == [found]
    assert found["user_agent"] == "100%s é -"


def test_the_message_of_a_log_config_is_json(tmp_path):
    config = {
        "root": {"level": "INFO", "handlers": []},
        "handlers": {
            "file": {
                "class": "logging.FileHandler",
                "filename": str(tmp_path / "configured"),
                "formatter": "bare",
            }
        },
        "formatters": {"bare": {"format": "%(message)s"}},
        "loggers": {"gunicorn.access": {"level": "INFO", "handlers": ["file"], "propagate": False}},
    }
    log = glogging.Logger(
        settings(errorlog=None, logconfig_dict=config, access_log_format="json:status,pid")
    )
    log.access(*request())
    assert rows(tmp_path / "configured") == [{"status": 200, "pid": os.getpid()}]


class Redacting(glogging.Logger):
    """Changes atoms, as loggers that hide secrets do."""

    def atoms(self, resp, req, environ, request_time):
        atoms = super().atoms(resp, req, environ, request_time)
        atoms.update({"r": "GET /hidden HTTP/1.1", "a": "-", "s": "299", "{x-a}i": 'a "b"'})
        return atoms


def test_atoms_of_a_subclass_win(tmp_path):
    log = Redacting(
        settings(
            errorlog=None,
            accesslog=str(tmp_path / "access"),
            access_log_format="json:target,user_agent,status,bytes_sent,duration,{X-A}i",
        )
    )
    for _ in range(2):
        log.access(*request())
    assert rows(tmp_path / "access") == 2 * [
        {
            "target": "/hidden",
            "user_agent": None,
            "status": 299,
            "bytes_sent": 12,
            "duration": 1.234567,
            "X-A": 'a "b"',
        }
    ]


class Wrapped(dict):
    def __getitem__(self, key):
        return "***" if key == "h" else super().__getitem__(key)


def test_a_wrapper_of_the_atoms_wins(tmp_path, monkeypatch):
    monkeypatch.setattr(glogging.Logger, "atoms_wrapper_class", Wrapped)
    log = logger_to(tmp_path / "access")
    log.access(*request())
    [found] = rows(tmp_path / "access")
    assert found["remote_addr"] == "***"
    assert found["user_agent"] == "curl/8.0"


class OwnSetup(glogging.Logger):
    def setup(self, cfg):
        handler = logging.FileHandler(cfg.accesslog)
        self.access_log.addHandler(handler)
        self.access_log.setLevel(logging.INFO)


def test_a_subclass_with_a_setup_of_its_own(tmp_path):
    log = logger_to(tmp_path / "access", OwnSetup)
    log.access(*request())
    [found] = rows(tmp_path / "access")
    assert found["status"] == 200
