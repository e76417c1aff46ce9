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
