"""Errors that stop the server or a worker from starting.

HaltServer unwinds the master's loop; ConfigError and AppImportError are about what the user wrote.
Nothing about HTTP belongs here: protocol errors live in `_errors.py`.
"""

__all__ = ("AppImportError", "ConfigError", "HaltServer")


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
