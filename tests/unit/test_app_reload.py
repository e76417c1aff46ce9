"""reload() reads everything again, and changes nothing if that fails."""

import os
import sys

import pytest

from cyserve.app.base import BaseApplication
from cyserve.app.wsgiapp import WSGIApplication
from cyserve.errors import ConfigError


@pytest.fixture
def app(launched_in, monkeypatch):
    """An application loaded from own.py, in the directory site."""
    (launched_in / "site").mkdir()
    (launched_in / "other").mkdir()
    write(launched_in, "workers = 2\nchdir = 'site'\nwsgi_app = 'shop:one'")
    monkeypatch.setattr(sys, "argv", ["cyserve", "-c", "own.py"])
    return WSGIApplication()


def write(directory, text):
    (directory / "own.py").write_text(text)


def state(app):
    return (
        app.cfg,
        app.app_uri,
        os.getcwd(),
        sys.path.copy(),
        sys.modules["__config__"],
        str(app.cfg),
    )


def test_reload_reads_the_file_again_even_within_the_same_second(app, launched_in):
    write(launched_in, "workers = 3\nchdir = 'other'\nwsgi_app = 'shop:two'")
    app.reload()
    assert (app.cfg.workers, app.app_uri) == (3, "shop:two")
    assert os.getcwd() == f"{launched_in}/other" == sys.path[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("workers = 'x'", "own.py: workers = 'x': allowed is a whole number"),
        ("chdir = 'gone'", "can't chdir to"),
        (
            "chdir = 'other'\nwsgi_app = 'shop:two'\nworker_class = 'asgi'",
            "does not have the worker class asgi",
        ),
        ("chdir = 'other'\nwsgi_app = 'shop:two'\nbind = 'h:x'", "'x' is not a valid port number"),
        (
            "chdir = 'other'\nwsgi_app = 'shop:two'\nprotocol = 'uwsgi'",
            "config file own.py: protocol = 'uwsgi': this version of cyserve does not",
        ),
        ("chdir = 'other'", "No application module specified."),
        ("workers = 3\n1 / 0", "Failed to read config file: own.py"),
        ("workers = (", "Failed to read config file: own.py"),
        ("raise SystemExit(7)", "the configuration asked to exit with 7"),
    ],
)
def test_failed_reload_changes_nothing(app, launched_in, text, message, capsys):
    before = state(app)
    write(launched_in, text)
    with pytest.raises(ConfigError) as caught:
        app.reload()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert state(app) == before
    assert capsys.readouterr().err == ""


def test_failed_reload_names_the_users_own_error(app, launched_in):
    write(launched_in, "1 / 0")
    with pytest.raises(ConfigError) as caught:
        app.reload()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    write(launched_in, "workers = 'x'")
    with pytest.raises(ConfigError) as caught:
        app.reload()
    assert caught.value.__cause__ is None


def test_a_file_that_is_gone_fails_and_a_good_one_succeeds_again(app, launched_in):
    (launched_in / "own.py").unlink()
    with pytest.raises(ConfigError, match=r"config file 'own.py' doesn't exist"):
        app.reload()
    write(launched_in, "workers = 4\nwsgi_app = 'shop:one'")
    app.reload()
    assert app.cfg.workers == 4


def test_bad_arguments_in_the_environment(app, monkeypatch, capsys):
    before = state(app)
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--nope")
    with pytest.raises(ConfigError):
        app.reload()
    assert state(app) == before


def test_config_module_is_imported_afresh(launched_in, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["cyserve", "-c", "python:ownconf", "shop"])
    (launched_in / "ownconf.py").write_text("workers = 2")
    app = WSGIApplication()
    (launched_in / "ownconf.py").write_text("workers = 3 # and something longer")
    app.reload()
    assert app.cfg.workers == 3
    kept = sys.modules["ownconf"]
    (launched_in / "ownconf.py").write_text("workers = 1 / 0")
    with pytest.raises(ConfigError, match="Failed to read config module: ownconf"):
        app.reload()
    assert app.cfg.workers == 3
    assert sys.modules["ownconf"] is kept


def test_custom_application_keeps_its_config(launched_in):
    class Custom(BaseApplication):
        number = 2

        def load_config(self):
            self.cfg.set("workers", self.number)

    app = Custom()
    before = app.cfg
    app.number = -1
    with pytest.raises(ConfigError, match="workers = -1"):
        app.reload()
    assert app.cfg is before
    app.number = 5
    app.reload()
    assert app.cfg.workers == 5


def test_failed_reload_in_a_directory_that_was_removed(app, launched_in):
    (launched_in / "site").rename(launched_in / "gone")
    before = os.stat(".").st_ino
    with pytest.raises(ConfigError, match="can't chdir to"):
        app.reload()
    assert os.stat(".").st_ino == before
