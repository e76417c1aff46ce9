"""Finds or builds the environments that the servers run in.

An environment given by name (`--venv rivals=/path`) is used as it is. One that is not given is
built by pip under build/bench/, which git ignores, with the frameworks that the cases need. What
cannot be installed is told and left out; it is tried again by the next run. cyserve itself is never
installed here: it is run from a source tree (built in place) or from a given environment.
"""

import functools
import json
import re
import subprocess
import sys
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.load.running import BenchError
from benchmarks.load.servers import Server

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "build" / "bench"
FRAMEWORKS = ("flask>=3.1", "django>=5.2")  # what the cases' applications need


@dataclass(frozen=True)
class Home:
    """Where a server runs: its interpreter and what goes in front of the import path."""

    python: Path
    path: tuple[str, ...] = ()


def cyserve_home(where: Path) -> Home:
    """A home from an environment (has bin/python) or from a source tree (has cyserve/)."""
    if (where / "bin" / "python").exists():
        return Home((where / "bin" / "python").absolute())
    if (where / "cyserve" / "__init__.py").exists():
        return Home(Path(sys.executable), (str(where.resolve()),))
    raise BenchError(f"{where} is neither a virtual environment nor a source tree of cyserve")


def home(server: Server, given: Mapping[str, Path]) -> Home:
    """The home of a rival: the given environment, else the one of its name that is built here.

    Raises: BenchError when there is none, or when this server could not be installed into it.
    """
    if not server.venv:
        return Home(Path(sys.executable))
    if server.venv in given:
        python = given[server.venv] / "bin" / "python"
        if not python.exists():
            raise BenchError(f"--venv {server.venv}={given[server.venv]}: no bin/python there")
        return Home(python.absolute())
    failed = _installed(server.venv, (*FRAMEWORKS, *server.needs))
    if missing := [need for need in server.needs if need in failed]:
        hint = f" (to build it, Debian's {', '.join(server.packages)})" if server.packages else ""
        raise BenchError(f"pip could not install {missing[0]}{hint}:\n{failed[missing[0]]}")
    return Home(BUILT / server.venv / "bin" / "python")


@functools.cache
def _installed(name: str, needs: tuple[str, ...]) -> dict[str, str]:
    """Has all that can be in the environment under build/bench/; what could not be, and why."""
    where = BUILT / name
    done = where / "installed.json"
    state: dict[str, Any] = json.loads(done.read_text()) if done.exists() else {}
    if state.get("python") != sys.version:  # none yet, or another Python's
        print(f"making the environment {where}", file=sys.stderr)
        venv.EnvBuilder(with_pip=True, clear=True).create(where)
        state = {"python": sys.version, "installed": []}
    pip = [str(where / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    pip.append("--disable-pip-version-check")
    failed = {}
    for need in needs:
        if need not in state["installed"]:
            print(f"installing {need} into {where}", file=sys.stderr)
            ran = subprocess.run([*pip, need], capture_output=True, text=True, check=False)
            if ran.returncode:
                failed[need] = ran.stderr.strip()
            else:
                state["installed"].append(need)
    done.write_text(json.dumps(state))
    return failed


def versions(where: Home, server: Server) -> str:
    """What runs there: interpreter, the server's version, compiled or pure for cyserve."""
    if server.name == "openssl":
        done = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=False)
        return f"{done.stdout.partition('(')[0].strip()}, s_server"
    if not server.venv:
        return "limit.c"
    names = [re.split("[=<>]", need)[0] for need in server.needs]
    code = _CYSERVE if server.venv == "cyserve" else _INSTALLED.format(names=names)
    done = subprocess.run(
        [str(where.python), "-c", f"import sys; sys.path[:0] = {list(where.path)!r}\n{code}"],
        capture_output=True,
        text=True,
        env={**server.environ},
        check=False,
    )
    if done.returncode:
        raise BenchError(f"{server.name}: {done.stderr.strip() or 'no version'}")
    return done.stdout.strip()


_PYTHON = "print('{0} {1}.{2}.{3}'.format(sys.implementation.name, *sys.version_info))\n"
_CYSERVE = (
    "import cyserve; from cyserve import _accel\n"
    "print('cyserve', cyserve.__version__, _accel.implementation(), end=', ')\n" + _PYTHON
)
_INSTALLED = (
    "from importlib.metadata import distributions\n"
    "found = {{one.name.lower(): one.version for one in distributions()}}\n"
    "for name in {names}: print(name, found.get(name.lower().replace('_', '-'), \n"
    "    found.get(name.lower(), '?')), end=', ')\n" + _PYTHON.replace("{", "{{").replace("}", "}}")
)
