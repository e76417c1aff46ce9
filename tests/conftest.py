"""What every test run shares: proof of what is tested, no silent skips, one hypothesis profile.

The tests run against whichever `cyserve` Python finds, and the header says which. `make test` and
tox set CYSERVE_TEST_INSTALLED=1, which refuses the source tree; `python -m pytest` in the tree
(after `python setup.py build_ext --inplace`) is the quick way while writing code.
CYSERVE_TEST_NO_SKIP=1, set in CI, makes a skip a failure: a missing program must not look like a
passing test. Fixtures belong in the conftest.py of the directory that uses them.
"""

import os
from collections.abc import Generator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import TypeVar

import hypothesis
import pytest

import cyserve
from cyserve import _accel, _compiled

PACKAGE = Path(cyserve.__file__).resolve().parent
TREE = Path(__file__).resolve().parents[1]

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

# The machines that run this are slow and shared: no deadlines, and in CI always the same examples.
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_report_header() -> str:
    return f"cyserve: {_accel.implementation()}, {PACKAGE}"


def pytest_sessionstart() -> None:
    if os.environ.get("CYSERVE_TEST_INSTALLED") == "1" and PACKAGE == TREE / "cyserve":
        pytest.exit(f"the source tree {PACKAGE} shadows the installed package", returncode=3)
    if PACKAGE == TREE / "cyserve" and _accel.implementation() == "compiled" and (old := stale()):
        pytest.exit(f"build in place anew, the source is newer: {' '.join(old)}", returncode=3)


def stale() -> list[str]:
    """Modules of the tree whose extension is older than a source of it: it would be tested."""
    found = []
    for name in _compiled.KERNEL + _compiled.ENGINE:
        stem = PACKAGE / name.replace(".", "/")
        built = stem.with_name(stem.name + EXTENSION_SUFFIXES[0])
        sources = (stem.with_suffix(suffix) for suffix in (".py", ".pyx", ".pxd"))
        newest = max(source.stat().st_mtime for source in sources if source.exists())
        if newest > built.stat().st_mtime:
            found.append(f"cyserve.{name}")
    return found


def _refuse_skip(report: Report) -> Report:
    """Turn a skip into a failure where CYSERVE_TEST_NO_SKIP=1; an expected failure stays one."""
    forbidden = os.environ.get("CYSERVE_TEST_NO_SKIP") == "1"
    if forbidden and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"no test may be skipped here (CYSERVE_TEST_NO_SKIP=1): {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _refuse_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _refuse_skip((yield))
