"""Finds or builds the environments that the servers run in.

An environment given by name (`--venv rivals=/path`) is used as it is. One that is not given is
built once by pip under build/bench/, which git ignores. cyserve itself is never installed here: it
is run from a source tree (built in place) or from a given environment.
"""

import subprocess
import sys
import venv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.running import BenchError
from benchmarks.load.servers import Server

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "build" / "bench"


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


def home(server: Server, given: Mapping[str, Path], servers: Iterable[Server]) -> Home:
    """The home of a rival: the given environment, else one built for all entries that share it."""
    if not server.venv:
        return Home(Path(sys.executable))
    if server.venv in given:
        python = given[server.venv] / "bin" / "python"
        if not python.exists():
            raise BenchError(f"--venv {server.venv}={given[server.venv]}: no bin/python there")
        return Home(python.absolute())
    entries = [other for other in servers if other.venv == server.venv]
    return Home(_built(server.venv, entries))


def _built(name: str, entries: list[Server]) -> Path:
    """The interpreter of the environment under build/bench/, made on first use."""
    python = BUILT / name / "bin" / "python"
    needs = sorted({need for entry in entries for need in entry.needs})
    done = BUILT / name / "installed.txt"
    if done.exists() and done.read_text().split("\n") == needs:
        return python
    print(f"installing {', '.join(needs)} into {python.parents[1]}", file=sys.stderr)
    venv.create(python.parents[1], with_pip=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, *needs], check=False).returncode:
        packages = sorted({package for entry in entries for package in entry.packages})
        hint = f"; building may need the Debian packages {', '.join(packages)}" if packages else ""
        raise BenchError(f"pip could not install {', '.join(needs)}{hint}")
    done.write_text("\n".join(needs))
    return python


def versions(where: Home, server: Server) -> str:
    """What runs there: interpreter, the server's version, compiled or pure for cyserve."""
    if server.name == "openssl":
        done = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=False)
        return f"{done.stdout.partition('(')[0].strip()}, s_server"
    if not server.venv:
        return "limit.c"
    names = [need.split("==")[0] for need in server.needs]
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
    "found = {{one.name: one.version for one in distributions()}}\n"
    "for name in {names}: print(name, found.get(name, '?'), end=', ')\n"
    + _PYTHON.replace("{", "{{").replace("}", "}}")
)
