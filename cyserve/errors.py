"""Errors that stop the server or a worker from starting.

HaltServer unwinds the master's loop; ConfigError and AppImportError are about what the user wrote.
Nothing about HTTP belongs here: protocol errors live in `_errors.py`.
"""

import importlib
import os
from types import TracebackType

__all__ = ("AppImportError", "ConfigError", "HaltServer", "user_traceback")

_PACKAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")


class HaltServer(BaseException):
    """Stops the master.

    reason: one line for the log.
    exit_status: exit code of the master.

    A BaseException, so that no `except Exception` on the way keeps the server alive.
    """

    def __init__(self, reason: str, exit_status: int = 1) -> None:
        super().__init__(reason, exit_status)
        self.reason = reason
        self.exit_status = exit_status

    def __str__(self) -> str:
        return f"<HaltServer {self.reason!r} {self.exit_status}>"


class ConfigError(Exception):
    """A setting, or a source of settings, that the server cannot use. The text is one line.

    `__cause__` is set only when the user's own code failed (a config file, a class or hook named
    by a setting): then, and only then, its traceback is shown.
    """


class AppImportError(Exception):
    """The application's name leads to no usable WSGI application. The text is one line."""


def user_traceback(exc: BaseException) -> TracebackType | None:
    """The traceback of `exc` from the user's own first frame on; None if there is none."""
    trace = exc.__traceback__
    while trace is not None and _is_machinery(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return trace


def _is_machinery(filename: str) -> bool:
    return filename.startswith(("<frozen importlib", _PACKAGE)) or filename == importlib.__file__
