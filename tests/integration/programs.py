"""The programs that the integration tests start, and the environment they are given.

The one under test is CYSERVE_TEST_COMMAND (default: `python -m cyserve` of this interpreter), the
one to compare with is gunicorn from the directory CYSERVE_TEST_ORACLE. No test lives here.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from differences import difference

APPS = Path(__file__).parent / "apps"


def missing(reason: str) -> Any:
    """Skips the test and prints why; with CYSERVE_TEST_NO_SKIP=1 it fails instead."""
    if os.environ.get("CYSERVE_TEST_NO_SKIP") == "1":
        pytest.fail(f"CYSERVE_TEST_NO_SKIP=1, but {reason}")
    print(f"skipped: {reason}")
    pytest.skip(reason)


@dataclass(frozen=True)
class Program:
    """What a `Server` starts: "cyserve" or "gunicorn", and the words of its command."""

    name: str
    command: tuple[str, ...]

    @property
    def is_oracle(self) -> bool:
        """True of the program that cyserve is compared with."""
        return self.name == "gunicorn"


def under_test() -> Program:
    """The program under test; gunicorn itself when the tests are being debugged."""
    given = shlex.split(os.environ.get("CYSERVE_TEST_COMMAND", ""))
    oracle = any(Path(word).name == "gunicorn" for word in given)
    default = (sys.executable, "-m", "cyserve")
    return Program("gunicorn" if oracle else "cyserve", tuple(given) or default)


def oracle() -> Program:
    """gunicorn, from the directory CYSERVE_TEST_ORACLE; when it is absent, `missing`."""
    path = Path(os.environ.get("CYSERVE_TEST_ORACLE", ""), "gunicorn")
    if not path.is_absolute() or not path.exists():
        missing("gunicorn to compare with is not there (CYSERVE_TEST_ORACLE)")
    return Program("gunicorn", (str(path),))


def command_under_test() -> list[str]:
    """The command line under test."""
    return list(under_test().command)


def is_oracle() -> bool:
    """True when another program than cyserve is under test (to debug the tests themselves)."""
    return under_test().is_oracle


def differs(*names: str) -> pytest.MarkDecorator:
    """Marks a test of deliberate differences, by their ids in docs/differences.md: not run against
    gunicorn."""
    reason = " and ".join(f"gunicorn: {difference(name).gunicorn}" for name in names)
    return pytest.mark.skipif(is_oracle(), reason=reason)


def kernels() -> list[str]:
    """The kernels to test: "compiled" where it is built and not forbidden, and "pure"."""
    if is_oracle():
        return []
    spec = importlib.util.find_spec("cyserve")
    package = Path(spec.origin).parent if spec and spec.origin else Path("/nonexistent")
    found = []
    if any(package.glob("_parser.*.so")) and os.environ.get("CYSERVE_NO_EXTENSIONS") != "1":
        found.append("compiled")
    if os.environ.get("CYSERVE_REQUIRE_EXTENSIONS") != "1":
        found.append("pure")
    return found


# Variables of the tester that would change what a server does.
_MEANINGFUL = {
    "GUNICORN_CMD_ARGS",
    "CYSERVE_CMD_ARGS",
    "WEB_CONCURRENCY",
    "PORT",
    "SENDFILE",
    "SCRIPT_NAME",
    "FORWARDED_ALLOW_IPS",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
}


def server_environment(
    extra: Mapping[str, str | None], kernel: str | None, program: Program | None = None
) -> dict[str, str]:
    """os.environ without what would change a server's behaviour, plus `extra` (None removes)."""
    program = program or under_test()
    # Key by key: pytest changes its own variable meanwhile if a thread of a fixture calls this.
    env = {
        key: value
        for key in os.environ
        if key not in _MEANINGFUL and (value := os.environ.get(key)) is not None
    }
    path = [str(APPS)]
    spec = importlib.util.find_spec("cyserve")
    if spec is not None and spec.origin is not None and not program.is_oracle:
        path.append(str(Path(spec.origin).parent.parent))  # the very package that the tests import
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    env["PYTHONPATH"] = os.pathsep.join([*path, *(os.path.abspath(p) for p in given if p)])
    if kernel is not None:
        env["CYSERVE_NO_EXTENSIONS"] = "1" if kernel == "pure" else "0"
        env["CYSERVE_REQUIRE_EXTENSIONS"] = "1" if kernel == "compiled" else "0"
    for key, value in extra.items():
        if value is None:
            env.pop(key, None)
        else:
            env[key] = value
    return env
