"""The training of a profile-guided build: the build at hand answers all its requests rightly."""

import subprocess
import sys
from pathlib import Path

import cyserve
from cyserve import _accel

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(cyserve.__file__).parent
KIND = ["--pure"] if _accel.implementation() == "pure" else []


def train(*options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "benchmarks.training", "--quick", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_each_request_is_answered() -> None:
    done = train("--cyserve", str(PACKAGE.parent), *KIND)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_server_that_does_not_start_is_told(tmp_path: Path) -> None:
    (tmp_path / "cyserve").mkdir()
    (tmp_path / "cyserve" / "__init__.py").write_text("raise SystemExit('not today')")
    done = train("--cyserve", str(tmp_path))
    assert done.returncode == 1
    assert "benchmarks.training: cyserve-sync" in done.stderr
    assert "not today" in done.stderr


def test_a_wrong_answer_is_told(tmp_path: Path) -> None:
    (tmp_path / "cyserve").symlink_to(PACKAGE)
    program = (
        "import sys; from dataclasses import replace; from benchmarks import training; "
        "training.USUAL = (replace(training.USUAL[0], body=b'Bye'),); "
        "sys.exit(training.main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--quick", "--cyserve", str(tmp_path), *KIND],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "hello: the answer is wrong: 200, 13 bytes: b'Hello, World!'" in done.stderr
