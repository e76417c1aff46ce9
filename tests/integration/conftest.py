"""Fixtures of the integration tests: real server processes (see harness.py), always reaped.

A test asks for `start_server` (its own servers) or defines a module-scoped server on
`start_module_server`. A failing test shows the command, the directory (kept by pytest) and the log
of the servers it uses.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # harness and http_client are no package

import harness
from harness import Server, StartServer
from worker_kinds import KEEPING, WORKERS, allow_descriptors

DESCRIPTORS = 4000  # for tests with many clients at once


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Starts servers that live as long as the test, each in its own directory."""
    numbers = iter(range(100))
    yield from harness.starter(lambda: tmp_path / f"s{next(numbers)}")


@pytest.fixture(scope="module")
def start_module_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Starts servers that live as long as the test module."""
    yield from harness.starter(lambda: tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module", params=harness.kernels() or ["default"])
def kernel(request: pytest.FixtureRequest) -> str | None:
    """Runs the test once with each kernel of this installation; pass it on to start_server."""
    return None if request.param == "default" else request.param


@pytest.fixture(scope="module")
def http_server(start_module_server: StartServer, kernel: str | None) -> Server:
    """requests_app on one worker; addresses[0] is TCP, addresses[1] a unix socket."""
    return start_module_server(
        "requests_app:app", bind=["127.0.0.1:0", "unix:http.sock"], kernel=kernel
    )


@pytest.fixture(scope="module", params=list(WORKERS))
def worker_kind(request: pytest.FixtureRequest) -> str:
    """Runs the test once with each kind of worker."""
    return str(request.param)


@pytest.fixture(scope="module", params=KEEPING)
def keeping_kind(request: pytest.FixtureRequest) -> str:
    """Runs the test once with each kind of worker that keeps connections alive."""
    return str(request.param)


@pytest.fixture
def start_kind(start_server: StartServer, kernel: str | None, worker_kind: str) -> StartServer:
    """Starts servers of requests_app with this kind of worker; takes what start_server takes."""
    allow_descriptors(DESCRIPTORS)
    return partial(start_server, "requests_app:app", *WORKERS[worker_kind], kernel=kernel)


@pytest.fixture
def start_keeping(start_server: StartServer, kernel: str | None, keeping_kind: str) -> StartServer:
    """As start_kind, for the kinds that keep connections alive."""
    return partial(start_server, "requests_app:app", *WORKERS[keeping_kind], kernel=kernel)


@pytest.fixture(scope="module")
def kind_server(start_module_server: StartServer, kernel: str | None, worker_kind: str) -> Server:
    """requests_app on one worker of this kind, with room for many connections."""
    allow_descriptors(DESCRIPTORS)
    return start_module_server(
        "requests_app:app", *WORKERS[worker_kind], "--worker-connections=3000", kernel=kernel
    )


@pytest.fixture(scope="module")
def keeping_server(
    start_module_server: StartServer, kernel: str | None, keeping_kind: str
) -> Server:
    """requests_app on one worker of this kind."""
    return start_module_server("requests_app:app", *WORKERS[keeping_kind], kernel=kernel)


@pytest.fixture
def everybody_may_enter(tmp_path: Path) -> None:
    """Lets any user reach the folders of this test, as workers of another user must."""
    if os.geteuid() != 0:
        harness.missing("only root may become somebody else")
    for folder in (tmp_path, *tmp_path.parents):
        if Path(tempfile.gettempdir()) in folder.parents:
            folder.chmod(folder.stat().st_mode | 0o055)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    return harness.evidence_of(getattr(item, "funcargs", {}).values(), (yield))
