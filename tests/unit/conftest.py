"""Fixtures of the unit tests: both kernels, and a process that looks freshly started."""

import sys
from importlib import import_module

import pytest

from cyserve import _accel, paths

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


# Where nothing is compiled, or CYSERVE_NO_EXTENSIONS=1 forbids it, there is one kind; the header
# of the test run says so, and CYSERVE_REQUIRE_EXTENSIONS=1 refuses to start without the other.
MODULES = {"pure": ("cyserve._pyparser", "cyserve._pyio")}
if _accel.implementation() == "compiled":
    MODULES["compiled"] = ("cyserve._parser", "cyserve._io")


@pytest.fixture(params=sorted(MODULES))
def kernel(request, monkeypatch):
    """The test runs once on each kind of kernel; gives the kind."""
    parser, io = map(import_module, MODULES[request.param])
    monkeypatch.setattr(_accel, "parser", parser)
    monkeypatch.setattr(_accel, "io", io)
    monkeypatch.setattr(_accel, "_kind", request.param)
    return request.param


@pytest.fixture
def parser(kernel):
    """The parser module of the kind under test."""
    return _accel.parser


@pytest.fixture
def io(kernel):
    """The io module of the kind under test."""
    return _accel.io
