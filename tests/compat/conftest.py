"""Fixtures of the compat tests: gunicorn and cyserve side by side, always reaped.

`start_both` starts both programs with the same arguments, files and environment. Where the answers
of gunicorn are needed once for all kernels of cyserve, a module starts it by itself with
`start_module_server(program=oracle)`. A failing test shows what its servers show (harness.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import harness
import programs
import pytest
import responses
from harness import Server, StartServer
from lives import Life, Story
from programs import Program


@dataclass(frozen=True)
class Pair:
    """The same thing run by gunicorn and by cyserve."""

    gunicorn: Server
    cyserve: Server


@pytest.fixture(scope="session")
def oracle() -> Program:
    """gunicorn 27.0.1; without it the test skips, or fails where nothing may be skipped."""
    return programs.oracle()


@pytest.fixture(scope="module", params=programs.kernels() or ["default"])
def kernel(request: pytest.FixtureRequest) -> str | None:
    """Runs the test once with each kernel of this installation; pass it on to start_server."""
    return None if request.param == "default" else request.param


@pytest.fixture
def start_server(tmp_path: Any) -> Iterator[StartServer]:
    """Starts servers that live as long as the test, each in its own directory."""
    numbers = iter(range(100))
    yield from harness.starter(lambda: tmp_path / f"s{next(numbers)}")


@pytest.fixture(scope="module")
def start_module_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Starts servers that live as long as the test module."""
    yield from harness.starter(lambda: tmp_path_factory.mktemp("server"))


@pytest.fixture
def start_both(start_server: StartServer, oracle: Program) -> Callable[..., Pair]:
    """Starts both programs with the same arguments; takes what harness.starter's `start` takes."""

    def start(*args: Any, **options: Any) -> Pair:
        kernel = options.pop("kernel", None)
        gunicorn = start_server(*args, program=oracle, **options)
        return Pair(gunicorn, start_server(*args, kernel=kernel, **options))

    return start


@pytest.fixture
def live(start_server: StartServer, oracle: Program) -> Callable[..., tuple[Story, Story]]:
    """Has both programs live a life at the same time; the story of gunicorn's and of cyserve's.

    life: what is done with it from start to end; the other arguments as of harness.starter's
    `start`.
    """

    def live(life: Callable[[Life], None], *args: Any, **options: Any) -> tuple[Story, Story]:
        def one(program: Program) -> Story:
            # Less than any machine's net.core.somaxconn, of which cyserve would warn.
            told = Life(start_server(*args, "--backlog=100", program=program, **options))
            life(told)
            return told.story()

        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(one, (oracle, programs.under_test()))
        return first, second

    return live


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The cases of the module's kind of worker."""
    if "conversations" in metafunc.fixturenames:
        cases = responses.cases_of(metafunc.module.KIND)
        metafunc.parametrize("case", cases, ids=[case.name for case in cases])


@pytest.fixture(scope="module")
def conversations(
    request: pytest.FixtureRequest, start_module_server: StartServer
) -> responses.Conversations:
    """The servers of the module's kind of worker, for gunicorn and each kernel of cyserve."""
    return responses.Conversations(request.module.KIND, start_module_server)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    return harness.evidence_of(getattr(item, "funcargs", {}).values(), (yield))
