"""The pid file: tells scripts which process is the master, and that one is running.

Written whole under another name and then renamed, so that nobody ever reads half a file.
Nothing here sends signals or removes a file that names another process.
"""

from __future__ import annotations

import os


class Pidfile:
    """The pid file at `fname`; nothing is written before `create`."""

    def __init__(self, fname: str) -> None:
        self.fname = fname
        self.pid: int | None = None

    def create(self, pid: int) -> None:
        """Write `pid` into the file.

        Raises RuntimeError when another live process is named there, the folder is missing or the
        file cannot be written.
        """
        running = self.validate()
        if running and running != os.getpid():
            raise RuntimeError(
                f"Already running on PID {running} (or pid file '{self.fname}' is stale)"
            )
        folder = os.path.dirname(self.fname)
        if folder and not os.path.isdir(folder):
            raise RuntimeError(f"{folder} doesn't exist. Can't create pidfile.")

        try:
            self._write(pid, folder or os.curdir)
        except OSError as error:
            raise RuntimeError(f"Can't create pidfile {self.fname!r}: {error.strerror}") from None
        self.pid = pid

    def _write(self, pid: int, folder: str) -> None:
        import tempfile  # noqa: PLC0415 - it loads shutil and every compressor

        fd, temporary = tempfile.mkstemp(dir=folder)
        try:
            with open(fd, "w", encoding="ascii") as file:
                file.write(f"{pid}\n")
            os.chmod(temporary, 0o644)
            os.rename(temporary, self.fname)
        except BaseException:
            os.unlink(temporary)
            raise

    def rename(self, path: str) -> None:
        """Remove this file and create it at `path` with the same pid."""
        pid = self.pid
        self.unlink()
        self.fname = path
        self.create(os.getpid() if pid is None else pid)

    def unlink(self) -> None:
        """Remove the file if it names our pid; anything else is left alone."""
        try:
            if self.pid is not None and self._read() == self.pid:
                os.unlink(self.fname)
        except OSError:
            pass

    def validate(self) -> int | None:
        """The pid in the file if a live process has it, else None."""
        try:
            pid = self._read()
        except OSError:
            return None
        if pid is None or pid <= 0:
            return None
        try:
            os.kill(pid, 0)
        except PermissionError:
            return pid  # alive, but somebody else's
        except (OSError, OverflowError):
            return None
        return pid

    def _read(self) -> int | None:
        with open(self.fname, "rb") as file:
            try:
                return int(file.read(64))
            except ValueError:
                return None
