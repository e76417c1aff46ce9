"""Directories and files that settings name: the launch directory, writable files.

Only looks; creates nothing that stays.
"""

import os
from functools import cache

__all__ = ("check_is_writable", "getcwd", "launch_directory")


def getcwd() -> str:
    """The current directory; $PWD if it is the same one, so that symbolic links stay visible."""
    current = os.getcwd()
    logical = os.environ.get("PWD")
    try:
        if logical and os.path.isabs(logical) and os.path.samefile(logical, current):
            return logical
    except OSError:
        pass
    return current


@cache
def launch_directory() -> str:
    """The directory the server was started in: relative paths of settings begin here.

    Remembered at the first call, which is made before anything changes the directory.
    """
    return getcwd()


def check_is_writable(path: str) -> None:
    """Raise RuntimeError, as gunicorn does, if the file cannot be opened for appending."""
    try:
        with open(path, "a"):
            pass
    except OSError as exc:
        raise RuntimeError(f"Error: {path!r} isn't writable [{exc!r}]") from None
