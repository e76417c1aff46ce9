"""The current directory and the one the server was started in.

Only looks; nothing here changes the directory.
"""

import os
from functools import cache

__all__ = ("getcwd", "launch_directory")


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


def file_state(path: str) -> tuple[float, int] | None:
    """Time of the last change and size of a file, which tell whether it is still the same one.

    None if there is no such file.
    """
    try:
        stat = os.stat(path)
    except (OSError, ValueError):
        return None
    return stat.st_mtime, stat.st_size
