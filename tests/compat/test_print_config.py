"""What --print-config, --help and --version say, compared value by value and flag by flag."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from command_line_files import FILES
from differences import compare
from harness import TIMEOUT, server_environment, under_test
from normal import settled
from programs import Program

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
post_request = lambda worker, req: None
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
def test_values(
    args: list[str], env: dict[str, str], oracle: Program, tmp_path: Path
) -> None:
    args = ["--print-config", *args, "shop"]
    gunicorn = settings(output(oracle, tmp_path.resolve(), *args, **env))
    cyserve = settings(output(under_test(), tmp_path.resolve(), *args, **env))
    print({n: (v, cyserve.get(n)) for n, v in gunicorn.items() if cyserve.get(n) != v})
    print(set(cyserve) - set(gunicorn))
    assert gunicorn == cyserve
