"""What --print-config, --help and --version say, compared value by value and flag by flag."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line_files import FILES
from differences import compare
from harness import TIMEOUT, server_environment, under_test
from normal import settled
from programs import Program

#: Beginnings of --ssl-version that begin --ssl-handshake-timeout as well.
SHARED = ("--ss", "--ssl", "--ssl-")

CONFIG = """
import os
from os import path as user_is_no_setting
workers = 3
bind = "127.0.0.1:8001"
worker_class = "gthread"
raw_env = ["A=1"]
forwarded_allow_ips = "10.0.0.0/8,::1"
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
logconfig_dict = {"version": 1}
umask = "0x12"
def pre_fork(server, worker): ...
post_fork = pre_fork
class on_exit:
    def __init__(self, server): ...
def post_request(worker, req, environ, resp): ...
"""


def output(program: Program, directory: Path, *args: str, **env: str) -> str:
    """What a command line prints; it must succeed without a word on stderr."""
    for name, text in (FILES | {"own.conf.py": CONFIG}).items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    done = subprocess.run(
        [*program.command, *args],
        cwd=directory,
        env=server_environment({"HOME": str(directory), "COLUMNS": "200", **env}, None, program),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return settled(done.stdout, directory)


def settings(text: str) -> dict[str, str]:
    """The values by name, without cyserve's notes where they come from."""
    rows = (re.fullmatch(r"(\w+) += (.*?)(?:  # .*)?", line) for line in text.splitlines())
    return {row[1]: row[2] for row in rows if row is not None}


@pytest.mark.parametrize(
    ("args", "env"),
    [
        ([], {}),
        (["-c", "own.conf.py"], {}),
        (["-c", "own.conf.py", "-w", "5", "--threads=2", "-b", "h:1", "-b", "[::1]:2"], {}),
        (
            ["-c", "own.conf.py", "-e", "B=2", "-k", "sync"],
            {"GUNICORN_CMD_ARGS": "-w 7 --timeout 9 --env C=3 --no-sendfile"},
        ),
        (
            ["--proxy-protocol", "--umask", "022", "--chdir", "lib", "-n", "name", "-D"],
            {"PORT": "1", "WEB_CONCURRENCY": "2", "FORWARDED_ALLOW_IPS": "*", "SENDFILE": "no"},
        ),
        (["--limit-request-field_size", "5", "-R", "--reuse-port", "--access-logfile=-"], {}),
        (["-c", "good.conf.py", "--preload", "--statsd-host=h:1", "--user=65534"], {}),
    ],
    ids=["defaults", "file", "line", "variable", "environment", "flags", "more"],
)
def test_values(args: list[str], env: dict[str, str], oracle: Program, tmp_path: Path) -> None:
    args = ["--print-config", *args, "shop"]
    gunicorn = settings(output(oracle, tmp_path.resolve(), *args, **env))
    cyserve = settings(output(under_test(), tmp_path.resolve(), *args, **env))
    assert list(cyserve) == sorted(cyserve)
    compare(
        gunicorn,
        {name: value for name, value in cyserve.items() if name in gunicorn},
        differs={
            "keepalive-default": given(keepalive="75"),
            "own-name": given(logger_class="cyserve.glogging.Logger"),
            "later-features": given(control_socket="None"),
        },
    )


def given(**values: str) -> Callable[[dict[str, str]], dict[str, str]]:
    """Other values for some settings."""
    return lambda rows: rows | values


def flags(text: str) -> dict[str, bool]:
    """The flags that --help shows -> whether an argument follows."""
    rows = re.findall(r"(?m)^  (-.+?)(?:  .*)?$", text)
    words = (word for row in rows for word in row.split(", "))
    return {word.split()[0]: " " in word for word in words}


def test_help(oracle: Program, tmp_path: Path) -> None:
    gunicorn = output(oracle, tmp_path.resolve(), "--help")
    cyserve = output(under_test(), tmp_path.resolve(), "--help")
    compare(
        gunicorn.splitlines()[0],
        cyserve.splitlines()[0],
        differs={"own-name": lambda line: line.replace("gunicorn", "cyserve")},
    )
    theirs, ours = flags(gunicorn), flags(cyserve)
    assert len(theirs) > 100
    assert {flag: ours.get(flag) for flag in theirs} == theirs


def test_version(oracle: Program, tmp_path: Path) -> None:
    for flag in ("-v", "--version"):
        gunicorn = output(oracle, tmp_path.resolve(), flag)
        cyserve = output(under_test(), tmp_path.resolve(), flag)
        assert gunicorn == "gunicorn (version 27.0.1)\n"
        assert re.fullmatch(r"cyserve \(version \d+\.\d+\.\d+\S*, (compiled|pure)\)\n", cyserve)
        compare(gunicorn, cyserve, differs=("own-name", "kernels"))


def test_abbreviations(oracle: Program, tmp_path: Path) -> None:
    """What is enough of a flag for gunicorn is enough for cyserve and means the same flag."""

    def meaning(text: str) -> dict[str, str]:
        """Flag by unambiguous beginning, as argparse understands it."""
        known = [flag for flag in flags(text) if flag.startswith("--")]
        starts = {flag[:end] for flag in known for end in range(3, len(flag) + 1)}
        meant = {start: [flag for flag in known if flag.startswith(start)] for start in starts}
        meant |= {flag: [flag] for flag in known}
        return {start: found[0] for start, found in meant.items() if len(found) == 1}

    gunicorn = meaning(output(oracle, tmp_path.resolve(), "--help"))
    cyserve = meaning(output(under_test(), tmp_path.resolve(), "--help"))
    known = {start: flag for start, flag in cyserve.items() if start in gunicorn}

    def without_ssl(starts: dict[str, str]) -> dict[str, str]:
        return {start: flag for start, flag in starts.items() if start not in SHARED}

    compare(gunicorn, known, differs={"own-settings": without_ssl})
