"""Fixtures of the unit tests: both kinds of kernel, a process that looks freshly started."""

import gc
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

from cyserve import _accel, gunicorn_alias, paths
from cyserve.workers.interrupts import ThreadInterrupter

KERNELS = {
    "compiled": ("cyserve._parser", "cyserve._io", "cyserve._poll"),
    "pure": ("cyserve._pyparser", "cyserve._pyio", "cyserve._pypoll"),
}

MEANINGFUL = (
    "CYSERVE_CMD_ARGS",
    "FORWARDED_ALLOW_IPS",
    "GUNICORN_CMD_ARGS",
    "PORT",
    "SENDFILE",
    "WEB_CONCURRENCY",
)


@pytest.fixture(params=["pure"] if _accel.implementation() == "pure" else list(KERNELS))
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[ModuleType]:
    """The modules of each kind that is there in turn; cyserve uses them too."""
    modules = [import_module(name) for name in KERNELS[request.param]]
    for name, module in zip(("parser", "io", "poll"), modules, strict=True):
        monkeypatch.setattr(_accel, name, module)
    monkeypatch.setattr(_accel, "is_compiled", request.param == "compiled")
    return modules


@pytest.fixture(params=["Worker", "Threads"])
def engine(request: pytest.FixtureRequest) -> Any:
    """What runs a connection loop: one thread, as sync has it, or several that take turns."""
    return getattr(import_module("loop_helpers"), request.param)


@pytest.fixture
def serve(kernel: list[ModuleType], engine: Any) -> Iterator[Callable[..., Any]]:
    """Makes workers, not yet started, that serve an application with real sockets."""
    workers: list[Any] = []

    def make(app: Any, **kwargs: Any) -> Any:
        workers.append(engine(app, **kwargs))
        return workers[-1]

    yield make
    for worker in workers:
        worker.close()


@pytest.fixture
def parser(kernel: list[ModuleType]) -> ModuleType:
    return kernel[0]


@pytest.fixture
def io(kernel: list[ModuleType]) -> ModuleType:
    return kernel[1]


@pytest.fixture
def poll(kernel: list[ModuleType]) -> ModuleType:
    return kernel[2]


@pytest.fixture(autouse=True)
def filters_of_a_test_end_with_it():
    """The two loggers are the process's: what is left on them meets the next test, of any file."""
    logs = [logging.getLogger(name) for name in ("gunicorn.error", "gunicorn.access")]
    before = [log.filters[:] for log in logs]
    yield
    for log, filters in zip(logs, before, strict=True):
        log.filters[:] = filters


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
    gunicorn_alias.uninstall()
    for name in set(sys.modules) - before:
        module = sys.modules[name]
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def load(launched_in, monkeypatch):
    """Load the settings for a command line, in an empty directory."""
    from cyserve.app.wsgiapp import WSGIApplication

    def load_args(*args):
        monkeypatch.setattr(sys, "argv", ["cyserve", *args])
        return WSGIApplication("%(prog)s [OPTIONS] [APP_MODULE]")

    return load_args


@pytest.fixture
def watched_worker(kernel):
    """Makes workers whose requests are watched (`watch_helpers.Worker`), and closes them."""
    from watch_helpers import Worker

    workers = []

    def make(app, **options):
        workers.append(Worker(app, **options))
        return workers[-1]

    yield make
    for worker in workers:
        worker.close()


@pytest.fixture
def thread_interrupter():
    """A ThreadInterrupter; the signal handler that it installs is removed again.

    Nothing is collected meanwhile: an interruption that strikes in somebody's finalizer, or in a
    callback as hypothesis leaves one, reaches no request; Python only prints it.
    """
    before = signal.signal(signal.SIGURG, signal.SIG_DFL)
    gc.disable()
    yield ThreadInterrupter()
    gc.enable()
    signal.signal(signal.SIGURG, before)
