"""What the old master tells the new one through the environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from cyserve import upgrade


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in ("GUNICORN_PID", "GUNICORN_FD", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        monkeypatch.setenv(name, "")  # so that it is put back whatever the test does
        monkeypatch.delenv(name)


def test_an_ordinary_start():
    assert upgrade.old_master() == 0
    assert upgrade.inherited_fds() == ([], False)


@pytest.mark.parametrize("fds", [[], [5], [3, 17, 4]])
def test_descriptors_come_over(monkeypatch, fds):
    env = upgrade.environment({"A": "b", "GUNICORN_PID": "1", "LISTEN_FDS": "9"}, fds, False)
    assert env.keys() == {"A", "GUNICORN_PID", "GUNICORN_FD"}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert upgrade.old_master() == os.getppid()
    assert upgrade.inherited_fds() == (fds, False)
    assert "GUNICORN_FD" not in os.environ
    upgrade.forget_old_master()
    assert upgrade.old_master() == 0


def test_descriptors_of_systemd_come_over(monkeypatch):
    env = upgrade.environment({}, [3, 4], True)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert upgrade.inherited_fds() == ([3, 4], True)
    assert not {"LISTEN_FDS", "LISTEN_PID", "GUNICORN_FD"} & os.environ.keys()


def test_descriptors_without_an_old_master_are_not_ours(monkeypatch):
    monkeypatch.setenv("GUNICORN_FD", "7")
    assert upgrade.inherited_fds() == ([], False)


def test_nonsense_is_named(monkeypatch):
    monkeypatch.setenv("GUNICORN_PID", str(os.getppid()))
    monkeypatch.setenv("GUNICORN_FD", "3,x")
    with pytest.raises(RuntimeError, match="GUNICORN_FD='3,x'"):
        upgrade.inherited_fds()


def test_execute_lends_the_descriptors_and_goes_back_to_the_launch_directory(tmp_path):
    program = (
        "import json, os; print(json.dumps([os.getcwd(), os.environ['A'], os.read(int("
        "os.environ['GUNICORN_FD']), 9).decode(), os.environ['GUNICORN_PID'] == str("
        "os.getppid())]))"
    )
    code = f"""
import os, sys
from cyserve import upgrade
read, write = os.pipe()
os.write(write, b"lent")
context = {{0: sys.executable, "args": [sys.executable, "-c", {program!r}], "cwd": sys.argv[1]}}
upgrade.execute(context, {{"A": "launch"}}, [read], False)
"""
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "A": "now"},
        timeout=30,
    )
    assert json.loads(result.stdout) == [str(tmp_path), "launch", "lent", True]


def test_the_command_line_comes_out_as_it_went_in():
    code = """
import json
from cyserve import upgrade
print(json.dumps(upgrade.start_context()["args"]))
"""
    args = [sys.executable, "-X", "utf8", "-c", code, "a b", "--flag", ""]
    result = subprocess.run(args, capture_output=True, text=True, check=True, timeout=30)
    assert json.loads(result.stdout) == args
