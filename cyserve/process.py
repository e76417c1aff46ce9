"""What a process does to itself: owner, title, file descriptors, going into the background.

Small wrappers over system calls with the exact order that is safe. Nothing here knows settings,
workers or sockets; everything takes plain values.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import os
import pwd
import sys
from collections.abc import Iterator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

try:
    from setproctitle import setproctitle as _setproctitle
except ImportError:  # the title is a nicety

    def _setproctitle(title: str) -> None:
        return None


def set_title(title: str) -> None:
    """Show `cyserve: TITLE` in the process list, if the package setproctitle is installed."""
    if sys.platform != "darwin":  # not safe after a fork there
        _setproctitle(f"cyserve: {title}")


def close_on_exec(fd: int) -> None:
    """Mark `fd` so that a program started by exec does not get it."""
    os.set_inheritable(fd, False)


def wake_pipe() -> tuple[int, int]:
    """A pipe whose bytes only wake whoever polls its first end; neither end ever blocks."""
    pipe = os.pipe()
    for fd in pipe:
        set_non_blocking(fd)
    return pipe


def set_non_blocking(fd: int) -> None:
    """Make reads and writes on `fd` return instead of waiting."""
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)


def chown(path: str, uid: int, gid: int) -> None:
    """Give the file `path` to user `uid` and group `gid`. Raises OSError."""
    os.chown(path, uid, gid)


def set_owner_process(uid: int, gid: int, initgroups: bool = False) -> None:
    """Become user `uid` and group `gid`; ids that are already ours are left alone.

    With `initgroups` the supplementary groups become those of the user. The group goes first:
    after the user is given up there is no right left to change it. Raises OSError when the
    process may not do this; the caller must then not go on.
    """
    changes_user = uid != os.geteuid() or uid != os.getuid()
    try:
        if initgroups and (changes_user or os.geteuid() == 0):
            _take_groups_of(uid, gid)
        if gid != os.getegid() or gid != os.getgid():
            os.setgid(gid)
        if changes_user:
            os.setuid(uid)
    except OSError as error:
        text = f"cannot become user {uid}, group {gid}: {error.strerror}"
        raise type(error)(error.errno, text) from None


def _take_groups_of(uid: int, gid: int) -> None:
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        os.setgroups([gid])  # a number without a name has no other groups
    else:
        os.initgroups(name, gid)


def daemonize(enable_stdio_inheritance: bool = False) -> None:
    """Go into the background: new session, no terminal, umask 022, working directory kept.

    Standard input, output and error go to the null device; with `enable_stdio_inheritance` only
    those that are terminals do. Does nothing in a master started by an upgrade (GUNICORN_FD is
    in its environment): it is in the background already.
    """
    if "GUNICORN_FD" in os.environ:
        return
    if os.environ.get("NOTIFY_SOCKET"):
        print(
            "Warning: you shouldn't specify `daemon = True` when launching by systemd"
            " with `Type = notify`",
            file=sys.stderr,
            flush=True,
        )
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():  # not a session leader: can never get a terminal again
        os._exit(0)
    os.umask(0o22)

    sys.stdout.flush()
    sys.stderr.flush()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        if not enable_stdio_inheritance or _is_terminal(fd):
            os.dup2(null, fd, inheritable=True)
    if null > 2:
        os.close(null)


def freeze_memory() -> None:
    """Let the garbage collector leave alone what is there now, so that forks go on sharing it.

    The collector writes into every object that it looks at, and a page that is written is copied.
    What was frozen before is looked through once more, else garbage among it would stay for ever.
    The first time it is not: that leaves holes in these pages, which each worker would fill.
    """
    if hasattr(gc, "freeze"):  # PyPy has other ways
        if gc.get_freeze_count():
            gc.unfreeze()
            gc.collect()
        gc.freeze()


@contextlib.contextmanager
def thawed_memory() -> Iterator[None]:
    """Let the garbage collector see for a while what `freeze_memory` has hidden from it."""
    frozen = hasattr(gc, "freeze") and gc.get_freeze_count() > 0
    if frozen:
        gc.unfreeze()
    try:
        yield
    finally:
        if frozen:
            gc.freeze()


def end(reason: BaseException | None) -> NoReturn:
    """End the process although some of its threads are stuck: the interpreter would wait for them.

    Exit functions run and the standard streams are flushed as usual. reason: the SystemExit.
    """
    code = getattr(reason, "code", 1)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # none, broken, closed
            stream.flush()
    os._exit(code & 0xFF if isinstance(code, int) else int(code is not None))


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False
