"""Upgrade without a break (USR2): a new master from the same command line takes over the sockets.

The old master forks and executes itself anew; listening sockets are lent by number in the
environment, under gunicorn's variable names, so a running gunicorn can be upgraded to cyserve.
With reuse_port there is nothing to lend: the new workers bind beside the old ones.
Deciding when to upgrade, and who is promoted, is the arbiter's affair.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cyserve.paths import launch_directory
from cyserve.systemd import SD_LISTEN_FDS_START, listen_fds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_PID = "GUNICORN_PID"
_FDS = "GUNICORN_FD"
_OURS = (_PID, _FDS, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def start_context() -> dict[Any, Any]:
    """How this process was started: 0 the program, "args" its arguments, "cwd" the directory.

    The interpreter's own record of the command line is used, so that `python -m` and interpreter
    options come out as they went in.
    """
    arguments = [sys.executable, *sys.orig_argv[1:]]
    return {0: sys.executable, "args": arguments, "cwd": launch_directory()}


def old_master() -> int:
    """Pid of the master that started this one as its successor; 0 for an ordinary start."""
    try:
        return int(os.environ.get(_PID, "0"))
    except ValueError:
        return 0


def forget_old_master() -> None:
    """The old master is gone: its mark leaves the environment of our children."""
    os.environ.pop(_PID, None)


def inherited_fds() -> tuple[list[int], bool]:
    """Descriptors of listeners that were handed to this process; true if systemd owns them.

    The variables are removed, so that our own children do not take them for theirs. Raises
    RuntimeError when they make no sense.
    """
    lent = os.environ.pop(_FDS, "")
    count = listen_fds()
    if count and not (lent and old_master()):
        return list(range(SD_LISTEN_FDS_START, SD_LISTEN_FDS_START + count)), True
    if not old_master():
        return [], False
    try:
        return [int(fd) for fd in lent.split(",") if fd], count > 0
    except ValueError:
        raise RuntimeError(f"{_FDS}={lent!r} is not a list of file descriptors") from None


def environment(base: dict[str, str], fds: Sequence[int], by_systemd: bool) -> dict[str, str]:
    """Environment for the new program, from the one the old was started with.

    Called in the process that becomes the new master: its parent is the old one.
    """
    env = {name: value for name, value in base.items() if name not in _OURS}
    env[_PID] = str(os.getppid())
    env[_FDS] = ",".join(map(str, fds))
    if env.get("WATCHDOG_PID") == env[_PID]:  # for whoever is the service's main process
        env["WATCHDOG_PID"] = str(os.getpid())
    if by_systemd:
        env["LISTEN_PID"] = str(os.getpid())
        env["LISTEN_FDS"] = str(len(fds))
    return env


def execute(
    context: dict[Any, Any], base: dict[str, str], fds: Sequence[int], by_systemd: bool
) -> NoReturn:
    """Become the new program. Raises OSError when it cannot be run."""
    env = environment(base, fds, by_systemd)
    os.chdir(context["cwd"])
    for fd in fds:
        os.set_inheritable(fd, True)
    os.execvpe(context[0], context["args"], env)
