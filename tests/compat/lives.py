"""Whole lives of a server, lived by both programs, and the stories of them that are compared.

A life is a function that is given a `Life`: it sends signals and requests, waits for what they do
and notes what is to be seen. The story is the log of each process, without times, numbers of
processes and ports, with the notes and the exit code. No test lives here.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGHUP, SIGTERM, SIGUSR2
from typing import Any

from harness import Server, is_running, wait_for
from http_client import BrokenResponse
from normal import own_frames, settled

_ENTRY = re.compile(r"\[[-: +\d]+\] \[(\d+)\] \[(\w+)\] (.*)")
# What faulthandler writes for a worker that dies of a signal, up to the next entry of the log.
_STACKS = re.compile(r"(?m)^Fatal Python error: .*\n(?:(?!\[).*\n)*")

_SECOND_TERM = re.compile(r"(?m)^.*Worker \(pid:\d+\) was sent SIGTERM!.*\n")


def without_second_term(server: Server, text: str) -> str:
    """A log without the deaths that are chance.

    gunicorn sends TERM again and again to a worker that is leaving, which may die of it at its end.
    """
    return _SECOND_TERM.sub("", text) if server.program.is_oracle else text


def _title(pid: int) -> str:
    """What the process list calls a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()


def _owner(line: str, logs: dict[int, list[str]], last: int) -> int:
    """Whose a line without a head is: the last writer's, or his whose traceback it repeats."""
    ends = (pid for pid, told in logs.items() if told and told[-1].endswith(f"Error: {line}"))
    return next(ends, last)


@dataclass(frozen=True, repr=False)
class Story:
    """What a life looked like. masters: the log of each, the first one's first; workers: the logs
    of all, sorted; stacks: the user's own frames of workers that died of a signal."""

    masters: tuple[tuple[str, ...], ...]
    workers: tuple[tuple[str, ...], ...]
    code: int | None
    notes: tuple[object, ...] = ()
    stacks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        parts = [f"exit code {self.code}", *map(repr, self.notes), *self.stacks]
        for name, logs in (("master", self.masters), ("worker", self.workers)):
            parts += (line for log in logs for line in (f"-- {name}", *log))
        return "\n".join(parts)


@dataclass
class Life:
    """A server while it lives."""

    server: Server
    masters: list[int] = field(default_factory=list)
    notes: list[object] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.masters.append(self.server.pid)

    @property
    def is_gunicorn(self) -> bool:
        """Whether gunicorn lives it."""
        return self.server.program.is_oracle

    def note(self, *what: object) -> None:
        """Notes something for the story."""
        self.notes.extend(what)

    def note_titles(self, master: int | None = None) -> None:
        """Notes what the process list calls the master, or another one, and its workers."""
        for pid in [master or self.server.pid, *self.server.worker_pids(master)]:
            self.note(_title(pid))

    def note_files(self) -> None:
        """Notes the pid files and sockets there are."""
        names = (path.name for path in self.server.directory.iterdir())
        self.note(sorted(name for name in names if re.search(r"\.(pid|sock)", name)))

    def text(self, name: str) -> str:
        """The text of a file in the server's directory; empty if there is none."""
        try:
            return (self.server.directory / name).read_text()
        except FileNotFoundError:
            return ""

    def hup(self, workers: int = 1) -> None:
        """HUP; waits for new workers in place of the old ones."""
        old, mark = self.server.worker_pids(), self.server.log_mark()
        self.server.signal(SIGHUP)
        self.server.wait_workers(workers, but_not=old)
        if not self.is_gunicorn:
            self.server.wait_log("Reloaded: ", since=mark)

    def upgrade(self, pidfile: str) -> int:
        """USR2; waits for the new master, which it returns, to have a worker."""
        self.server.signal(SIGUSR2)
        text = wait_for(lambda: self.text(pidfile + ".2"), "the pid file of the new master")
        self.masters.append(int(text))
        self.server.wait_workers(1, master=int(text))
        return int(text)

    def succeed(self, pidfile: str) -> None:
        """Waits for the last master to be the only one: from now on the server's."""
        pid = self.masters[-1]
        wait_for(lambda: self.text(pidfile) == f"{pid}\n", "the promotion")
        wait_for(lambda: not _title(pid).endswith(".2]"), "its title, the promotion's last step")
        self.server.pid = pid

    def end(self, number: int = SIGTERM) -> None:
        """Signals the master and waits for all processes to be gone."""
        self.server.signal(number)
        wait_for(lambda: not is_running(self.server.pid), "the end of the master")
        self.server.wait_gone()

    def replaced(self, kill: Callable[[int], object]) -> None:
        """Does something to the only worker that ends it, and waits for the next."""
        [worker] = self.server.worker_pids()
        self.request()  # not newborn any more: those are not replaced at once
        kill(worker)
        self.server.wait_workers(1, but_not=[worker])

    def request(self, target: str = "/", method: str = "GET", **options: Any) -> None:
        """A request; where hooks are written down, waits for its last one."""
        before = self.text("hooks").count(" post_request(")
        self.server.request(target, method, **options)
        if self.text("hooks"):
            self.wait_hooks("post_request", before + 1)

    def wait_hooks(self, name: str, count: int) -> None:
        """Waits until a hook has been called so often."""
        wait_for(lambda: self.text("hooks").count(f" {name}(") >= count, f"{count} x {name}")

    def ask(self, target: str) -> None:
        """A request that may be cut off."""
        with contextlib.suppress(OSError, BrokenResponse):
            self.server.request(target)

    def asking(self, target: str) -> threading.Thread:
        """A request that goes on meanwhile; waits until the application has it."""
        thread = threading.Thread(target=self.ask, args=(target,))
        thread.start()
        wait_for(lambda: self.text("asked"), "the application to be asked")
        return thread

    def story(self) -> Story:
        """The story, when it is over; of a life with every_hook.py the hooks', not the log's."""
        if hooks := self.text("hooks"):
            return self._story_of(hooks, re.compile(r"(\d+)\|()(.*)"))
        return self._story_of(self.server.log_text(), _ENTRY)

    def _story_of(self, text: str, entry_form: re.Pattern[str]) -> Story:
        stacks = [line.strip() for block in _STACKS.findall(text) for line in block.splitlines()]
        own = [  # without the mark of ready workers, which the harness puts into the config file
            line
            for line in stacks
            if str(self.server.directory) in line and str(self.server.config_path) not in line
        ]
        text = without_second_term(self.server, _STACKS.sub("", text))
        logs: dict[int, list[str]] = {pid: [] for pid in self.masters}
        pid = self.masters[0]
        for line in text.splitlines():
            if entry := entry_form.match(line):
                owner = pid = int(entry[1])
                line = f"{entry[2]} {entry[3]}".lstrip()
            else:
                owner = _owner(line, logs, pid)
            logs.setdefault(owner, []).append(line)
        told = {pid: self._told(lines) for pid, lines in logs.items()}
        return Story(
            masters=tuple(told.pop(pid) for pid in self.masters),
            workers=tuple(sorted(told.values())),
            code=self.server.process.poll(),
            notes=tuple(self.notes),
            stacks=tuple(settled(line, self.server.directory) for line in own),
        )

    def _told(self, lines: list[str]) -> tuple[str, ...]:
        text = settled("".join(f"{line}\n" for line in lines), self.server.directory)
        text = re.sub(r"<Worker \d+>", "<Worker PID>", text)
        text = re.sub(r"for \d+\.\d s\b", "for N s", text)
        text = text.replace(
            " Running: 'GET / HTTP/1.1' for N s.", ""
        )  # answered, just not put down
        return tuple(own_frames(text).splitlines())
