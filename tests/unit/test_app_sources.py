"""Where settings come from, which source wins, and what is said about a bad one."""

import os
import sys

import pytest

from cyserve import _accel
from cyserve.app.base import Application, BaseApplication

APP = "def application(environ, start_response): ...\n"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_each_source_wins_over_the_one_before(load, launched_in, monkeypatch):
    seen = [load("shop").cfg.workers]
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    seen.append(load("shop").cfg.workers)
    write(launched_in / "gunicorn.conf.py", "workers = 3")
    seen.append(load("shop").cfg.workers)
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "-w 4")
    seen.append(load("shop").cfg.workers)
    seen.append(load("-w", "5", "shop").cfg.workers)
    assert seen == [1, 2, 3, 4, 5]


def test_our_own_names_win_over_gunicorns(load, launched_in, monkeypatch):
    write(launched_in / "gunicorn.conf.py", "workers = 3\ntimeout = 7")
    write(launched_in / "cyserve.conf.py", "workers = 4")
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--backlog 5 --max-requests 6")
    monkeypatch.setenv("CYSERVE_CMD_ARGS", "--backlog 7")
    cfg = load("shop").cfg
    assert (cfg.workers, cfg.timeout, cfg.backlog, cfg.max_requests) == (4, 30, 7, 0)


def test_a_flag_that_is_not_given_overrides_nothing(load, launched_in):
    write(launched_in / "gunicorn.conf.py", "preload_app = True\nsendfile = False\numask = 0o22")
    cfg = load("shop").cfg
    assert (cfg.preload_app, cfg.sendfile, cfg.umask) == (True, False, 0o22)


def test_lists_are_replaced_not_merged(load, launched_in):
    write(launched_in / "gunicorn.conf.py", "bind = ['a:1', 'b:2']")
    assert load("shop").cfg.bind == ["a:1", "b:2"]
    assert load("-b", "c:3", "shop").cfg.bind == ["c:3"]


def test_which_config_file_is_read(load, launched_in, monkeypatch):
    for name, number in (("gunicorn.conf.py", 2), ("env.py", 3), ("cli.py", 4)):
        write(launched_in / name, f"workers = {number}")
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "-c env.py")
    assert load("shop").cfg.workers == 3
    assert load("-c", "cli.py", "shop").cfg.workers == 4
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "")
    assert load("shop").cfg.workers == 2


@pytest.mark.parametrize("location", ["conf/own.py", "file:conf/own.py", "python:conf.own"])
def test_forms_of_the_config_files_name(load, launched_in, location):
    write(launched_in / "conf/own.py", "workers = 9\nWORKERS = 1\nhelper = 3")
    assert load("-c", location, "shop").cfg.workers == 9


def test_config_file_runs_as_a_module_of_its_own(load, launched_in):
    write(
        launched_in / "own.py",
        "import sys\nproc_name = f'{__name__} {__file__}'\nme = sys.modules[__name__]",
    )
    cfg = load("-c", "own.py", "shop").cfg
    assert cfg.proc_name == f"__config__ {launched_in}/own.py"
    assert sys.modules["__config__"].me is sys.modules["__config__"]


def test_compiled_config_file(load, launched_in):
    import py_compile

    write(launched_in / "own.py", "workers = 6")
    py_compile.compile(str(launched_in / "own.py"), str(launched_in / "own.pyc"))
    assert load("-c", "own.pyc", "shop").cfg.workers == 6


def test_config_file_with_another_extension_is_read_with_a_warning(load, launched_in, capsys):
    write(launched_in / "own.cfg", "workers = 6")
    assert load("-c", "own.cfg", "shop").cfg.workers == 6
    assert "'own.cfg' should have a valid Python extension" in capsys.readouterr().err


def test_chdir_is_entered_after_all_files_were_found(load, launched_in):
    write(launched_in / "gunicorn.conf.py", "workers = 2")
    write(launched_in / "site/gunicorn.conf.py", "workers = 3")
    write(launched_in / "site/shop.py", APP)
    app = load("--chdir", "site", "shop")
    assert app.cfg.workers == 2
    assert os.getcwd() == app.cfg.chdir == sys.path[0] == f"{launched_in}/site"
    assert app.wsgi() is app.wsgi()
    assert app.wsgi().__name__ == "application"


def test_application_of_the_command_line_wins_over_wsgi_app(load, launched_in):
    write(launched_in / "gunicorn.conf.py", "wsgi_app = 'shop:other'")
    app = load("shop:application", "ignored")
    assert (app.app_uri, app.cfg.proc_name) == ("shop:application", "shop:application")
    app = load()
    assert (app.app_uri, app.cfg.proc_name) == ("shop:other", "cyserve")


@pytest.mark.parametrize(
    ("args", "conf", "message"),
    [
        ([], "", "No application module specified."),
        (["shop"], "workers = 'x'", "gunicorn.conf.py: workers = 'x': allowed is a whole number"),
        (["shop"], "bind = 80", "gunicorn.conf.py: bind = 80: allowed is a string or a list"),
        (["shop"], "from os import umask", "gunicorn.conf.py: umask = <built-in function umask>"),
        (["shop"], "protocol = 'uwsgi'", "gunicorn.conf.py: protocol = 'uwsgi': this version of"),
        (["shop"], "def on_exit(a, b): ...", "gunicorn.conf.py: on_exit = <function on_exit"),
        (["-c", "no.py", "shop"], "", "config file 'no.py' doesn't exist"),
        (["-c", ".", "shop"], "", "config file '.': Is a directory"),
        (["--timeout", "-1", "shop"], "", "timeout = -1: allowed is a whole number, 0 or more"),
        (["--chdir", "no", "shop"], "", "chdir = 'no': can't chdir to "),
        (["-b", "h:x", "shop"], "", "bind = 'h:x': 'x' is not a valid port number."),
    ],
)
def test_bad_settings_are_one_line_and_exit_1(load, launched_in, capsys, args, conf, message):
    write(launched_in / "gunicorn.conf.py", conf)
    with pytest.raises(SystemExit) as caught:
        load(*args)
    said = capsys.readouterr().err
    assert caught.value.code == 1
    assert said.startswith("Error: ")
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("variable", ["GUNICORN_CMD_ARGS", "CYSERVE_CMD_ARGS"])
@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("--nope", 2, "unrecognized arguments: --nope"),
        ("-w x", 2, "invalid int value: 'x'"),
        ("-w -1", 1, "workers = -1: allowed is a whole number"),
        ("-w '1", 1, "No closing quotation"),
    ],
)
def test_bad_arguments_in_the_environment_name_the_variable(
    load, monkeypatch, capsys, variable, text, code, message
):
    monkeypatch.setenv(variable, text)
    with pytest.raises(SystemExit) as caught:
        load("shop")
    said = capsys.readouterr().err
    assert caught.value.code == code
    assert said.startswith(f"Error: ${variable}: ")
    assert message in said
    assert said.count("\n") == 1


def test_failing_config_file_shows_the_users_traceback_only(load, launched_in, capsys):
    write(launched_in / "own.py", "def helper():\n    1 / 0\nhelper()")
    with pytest.raises(SystemExit) as caught:
        load("-c", "own.py", "shop")
    said = capsys.readouterr().err
    assert caught.value.code == 1
    assert said.startswith("Error: Failed to read config file: own.py\nTraceback")
    assert f'File "{launched_in}/own.py", line 2, in helper' in said
    assert "ZeroDivisionError" in said
    assert "base.py" not in said


def test_settings_that_look_misspelt_are_pointed_out(load, launched_in, capsys):
    write(launched_in / "own.py", "wokers = 3\nport = 8000\nenv = 4")
    assert load("-c", "own.py", "shop").cfg.workers == 1
    assert capsys.readouterr().err == (
        "Warning: config file own.py: there is no setting 'wokers'; did you mean 'workers'?\n"
    )


def test_a_misspelt_name_is_pointed_out_when_it_is_the_reason_of_a_failure(
    load, launched_in, capsys
):
    write(launched_in / "own.py", "wsgi_ap = 'shop'")
    with pytest.raises(SystemExit):
        load("-c", "own.py")
    assert capsys.readouterr().err == (
        "Warning: config file own.py: there is no setting 'wsgi_ap'; did you mean 'wsgi_app'?\n"
        "Error: No application module specified.\n"
    )


def test_settings_returned_by_init_come_before_the_config_file(launched_in, monkeypatch):
    class Framework(Application):
        def init(self, parser, opts, args):
            return {"WORKERS": 2, "timeout": 9}

    monkeypatch.setattr(sys, "argv", ["framework"])
    write(launched_in / "gunicorn.conf.py", "workers = 3")
    cfg = Framework().cfg
    assert (cfg.workers, cfg.timeout) == (3, 9)


class Standalone(BaseApplication):
    """The pattern of gunicorn's documentation for custom applications."""

    def __init__(self, app, options=None):
        self.options = options or {}
        self.application = app
        super().__init__()

    def load_config(self):
        for key, value in self.options.items():
            if key in self.cfg.settings and value is not None:
                self.cfg.set(key.lower(), value)

    def load(self):
        return self.application


def test_standalone_application(launched_in, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["own", "--not-ours"])
    write(launched_in / "gunicorn.conf.py", "workers = 9")
    app = Standalone(print, {"bind": "a:1", "workers": 2, "unknown": 1})
    assert (app.cfg.bind, app.cfg.workers) == (["a:1"], 2)
    assert app.wsgi() is print
    assert (app.usage, app.prog, app.logger) == (None, None, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"worker_class": "asgi"}, "worker_class = 'asgi': this version of cyserve does not have"),
        ({"http_protocols": "h2"}, "http_protocols = ['h2']: this version of cyserve does not"),
        ({"http_parser": "fast"}, "http_parser = 'fast': "),
        ({"bind": "h:x"}, "bind = 'h:x': 'x' is not a valid port number."),
    ],
)
def test_standalone_applications_are_checked_too(
    launched_in, monkeypatch, capsys, options, message
):
    def select(word):
        if word == "fast":
            raise ImportError("none here")

    monkeypatch.setattr(_accel, "select", select)
    with pytest.raises(SystemExit) as caught:
        Standalone(print, options)
    said = capsys.readouterr().err
    assert caught.value.code == 1
    assert said.startswith(f"Error: {message}")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "words", "traceback"),
    [
        (ValueError("bad"), "bad", False),
        (NotImplementedError(), "NotImplementedError", False),
        (KeyError("k"), "'k'", True),
    ],
)
def test_what_a_custom_load_config_raises(launched_in, capsys, error, words, traceback):
    class Failing(BaseApplication):
        def load_config(self):
            raise error

    with pytest.raises(SystemExit) as caught:
        Failing()
    said = capsys.readouterr().err
    assert caught.value.code == 1
    assert said.startswith(f"Error: {words}\n")
    assert ("Traceback" in said) is traceback
