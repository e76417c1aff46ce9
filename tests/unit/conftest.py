"""Fixtures of the unit tests: a process that looks freshly started."""

import sys

import pytest

from cyserve import paths

MEANINGFUL = (
    "CYSERVE_CMD_ARGS",
    "FORWARDED_ALLOW_IPS",
    "GUNICORN_CMD_ARGS",
    "PORT",
    "SENDFILE",
    "WEB_CONCURRENCY",
)


@pytest.fixture
def clean_env(monkeypatch):
    """No environment variable that changes a setting."""
    for name in MEANINGFUL:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def launched_in(tmp_path, monkeypatch, clean_env):
    """An empty directory that the process was launched in; cwd, sys.path and modules restored."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    paths.launch_directory.cache_clear()
    yield tmp_path
    paths.launch_directory.cache_clear()
    for name in set(sys.modules) - before:
        module = sys.modules[name]
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
