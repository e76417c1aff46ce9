"""Settings in TOML: which file is read, what its keys mean, what is said about bad ones."""

import sys

import pytest

from cyserve.config import get_default_config_file
from cyserve.config.toml_file import has_settings
from cyserve.errors import ConfigError

APP = "def application(environ, start_response): ...\n"
TABLE = "[tool.cyserve]\n"


def test_the_table_of_pyproject_is_read_if_no_file_is_named(load, launched_in):
    (launched_in / "pyproject.toml").write_text(
        TABLE + 'workers = 3\nbind = ["a:1", "b:2"]\nwsgi_app = "shop"\npreload_app = false\n'
        'forwarded_allow_ips = ["10.0.0.0/8"]\nrequest_timeout = 1.5\n'
        '[tool.cyserve.secure_scheme_headers]\nX-SCHEME = "tls"\n'
    )
    app = load()
    cfg = app.cfg
    assert (cfg.workers, cfg.bind, app.app_uri) == (3, ["a:1", "b:2"], "shop")
    assert (cfg.forwarded_allow_ips, cfg.request_timeout) == (["10.0.0.0/8"], 1.5)
    assert cfg.secure_scheme_headers == {"X-SCHEME": "tls"}
    assert cfg.settings["workers"].source == f"config file {launched_in}/pyproject.toml"


def test_only_one_of_the_files_is_read(load, launched_in):
    (launched_in / "gunicorn.conf.py").write_text("workers = 2\nthreads = 2")
    (launched_in / "pyproject.toml").write_text("[tool.other]\ncyserve = 3\n")
    assert load("shop").cfg.workers == 2
    (launched_in / "pyproject.toml").write_text(TABLE + "workers = 3\n")
    cfg = load("shop").cfg
    assert (cfg.workers, cfg.threads) == (3, 1)
    (launched_in / "cyserve.conf.py").write_text("workers = 4")
    assert load("shop").cfg.workers == 4
    assert load("-c", "gunicorn.conf.py", "shop").cfg.workers == 2
    assert load("-c", "pyproject.toml", "-w", "5", "shop").cfg.workers == 5
    assert load("-c", "", "shop").cfg.workers == 4  # as if it were not there


@pytest.mark.parametrize("location", ["own.toml", "file:own.toml"])
def test_another_toml_file_is_settings_from_its_first_line(load, launched_in, location):
    (launched_in / "own.toml").write_text("workers = 3\n[logconfig_dict]\nversion = 1\n")
    cfg = load("-c", location, "shop").cfg
    assert (cfg.workers, cfg.logconfig_dict) == (3, {"version": 1})


def test_hooks_and_classes_are_dotted_paths_found_where_the_application_is(load, launched_in):
    for directory, name in (("src", "hooks_of_shop"), ("lib", "loggers_of_shop")):
        (launched_in / directory).mkdir()
        (launched_in / directory / f"{name}.py").write_text(
            "class Logger: ...\ndef post_fork(server, worker): ...\n"
        )
    (launched_in / "pyproject.toml").write_text(
        TABLE + 'post_fork = "hooks_of_shop.post_fork"\nlogger_class = "loggers_of_shop.Logger"\n'
        'pythonpath = "../lib"\nchdir = "src"\n'
    )
    cfg = load("shop").cfg
    assert cfg.post_fork is sys.modules["hooks_of_shop"].post_fork
    assert cfg.logger_class is sys.modules["loggers_of_shop"].Logger


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("workers = 'x'", "workers = 'x': allowed is a whole number, 0 or more"),
        ("workers = 2.0", "workers = 2.0: allowed is a whole number, 0 or more"),
        ("pidfile = 2025-01-01", "pidfile = datetime.date(2025, 1, 1): allowed is a string"),
        ("wokers = 2", "there is no setting 'wokers'; did you mean 'workers'?"),
        ("worker-class = 'sync'", "there is no setting 'worker-class'; did you mean 'worker_clas"),
        ("preload = true", "there is no setting 'preload'; did you mean 'preload_app'?"),
        ("port = 1", "there is no setting 'port'"),
        ("protocol = 'uwsgi'", "protocol = 'uwsgi': this version of cyserve does not have"),
        ("post_fork = 'no.such'", "post_fork = 'no.such': allowed is a function or the path of"),
        ("workers = \n", "Invalid value (at line 2"),
        ("workers = 1\nworkers = 2", "Cannot overwrite a value"),
    ],
)
def test_bad_toml_is_one_line_and_exit_1(load, launched_in, capsys, text, message):
    (launched_in / "pyproject.toml").write_text(TABLE + text)
    with pytest.raises(SystemExit) as caught:
        load("shop")
    said = capsys.readouterr().err
    assert caught.value.code == 1
    assert said.startswith(f"Error: config file {launched_in}/pyproject.toml: {message}")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "text", ["", "[tool.other]", "cyserve = 1", "tool = 3", "[tool]\ncyserve = 3"]
)
def test_a_pyproject_that_is_named_must_have_the_table(load, launched_in, capsys, text):
    (launched_in / "pyproject.toml").write_text(text)
    with pytest.raises(SystemExit):
        load("-c", "pyproject.toml", "shop")
    said = capsys.readouterr().err
    assert said == "Error: config file pyproject.toml: there is no table [tool.cyserve]\n"


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("[tool.cyserve]", True),
        ("[tool.cyserve.logconfig_dict]", True),
        ("[ tool . 'cyserve' ]", True),
        ("tool.cyserve.workers = 1", True),
        ("[tool]\ncyserve = {workers = 1}", True),
        ("[project]\ndependencies = ['cyserve']", False),
        ("# [tool.cyserve]", False),
        ("tool = 3 # cyserve", False),
        ("[tool.cyserve]\nworkers =", True),  # broken: what is wrong is said when it is read
        ("[project]\ndependencies = ['cyserve'", False),  # broken, but not ours
    ],
)
def test_which_pyproject_has_settings(tmp_path, text, has):
    path = tmp_path / "pyproject.toml"
    assert not has_settings(str(path))
    path.write_text(text)
    assert has_settings(str(path)) is has


def test_without_a_reader_of_toml(load, launched_in, monkeypatch, capsys):
    for name in ("tomllib", "tomli"):
        monkeypatch.setitem(sys.modules, name, None)
    (launched_in / "pyproject.toml").write_text("[project]\ndependencies = ['cyserve']\n")
    assert get_default_config_file() is None
    (launched_in / "pyproject.toml").write_text(TABLE)
    with pytest.raises(SystemExit):
        load("shop")
    said = capsys.readouterr().err
    assert said.startswith(f"Error: config file {launched_in}/pyproject.toml: to read TOML, ")
    assert "pip install cyserve[toml]" in said


def test_a_reload_reads_it_again_and_keeps_everything_if_that_fails(load, launched_in):
    path = launched_in / "pyproject.toml"
    path.write_text(TABLE + "workers = 2")
    app = load("shop")
    path.write_text(TABLE + "workers = 3")
    app.reload()
    assert app.cfg.workers == 3
    before, modules = app.cfg, sys.path.copy()
    (launched_in / "src").mkdir()
    for text in ("workers = 4\nchdir = 'src'\nwokers = 1", "chdir = 'src'\nworkers = 'x'"):
        path.write_text(TABLE + text)
        with pytest.raises(ConfigError, match=r"wokers|workers = 'x'"):
            app.reload()
        assert (app.cfg, sys.path) == (before, modules)
