"""wsgi.errors writes where the error log goes, also after the log has been rotated."""

import logging
import sys
from types import SimpleNamespace

import pytest

from cyserve.http.environ import ErrorsWrapper


@pytest.fixture
def handler(tmp_path, monkeypatch):
    handler = logging.FileHandler(tmp_path / "error.log")
    monkeypatch.setattr(logging.getLogger("gunicorn.error"), "handlers", [handler])
    yield handler
    handler.close()


def test_to_the_file_of_the_error_log(handler, tmp_path):
    errors = ErrorsWrapper(SimpleNamespace(errorlog="error.log"))
    assert errors.write("one\n") == 4
    errors.writelines(["two\n", "three\n"])
    errors.flush()
    assert (tmp_path / "error.log").read_text() == "one\ntwo\nthree\n"


def test_after_the_log_was_rotated(handler, tmp_path):
    errors = ErrorsWrapper(SimpleNamespace(errorlog="error.log"))
    errors.write("old\n")
    (tmp_path / "error.log").rename(tmp_path / "error.log.1")
    old, handler.stream = handler.stream, open(tmp_path / "error.log", "a")  # as on USR1
    old.close()
    errors.write("new\n")
    assert (tmp_path / "error.log").read_text() == "new\n"


def test_to_standard_error_once(monkeypatch, capsys):
    stream_handler = logging.StreamHandler(sys.stderr)
    monkeypatch.setattr(logging.getLogger("gunicorn.error"), "handlers", [stream_handler])
    ErrorsWrapper(SimpleNamespace(errorlog="-")).write("once\n")
    assert capsys.readouterr().err == "once\n"
