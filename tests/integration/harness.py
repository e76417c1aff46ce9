"""Boots real servers for the integration tests, watches them, and leaves nothing behind.

A `Server` is one master process with its workers, started in a directory of its own. Everything is
waited for by an event (a log line, a ready mark, an exit), never by sleeping a guessed time, and
every process that descends from it is ended in `destroy`, also orphans and daemons.
What is started is a `Program` (programs.py).
Linux only: processes are found in /proc. No test lives here, and no fixture (conftest.py).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any, TypeVar

from http_client import Address, Client, Response, request
from programs import APPS as APPS
from programs import Program as Program
from programs import command_under_test as command_under_test
from programs import differs as differs
from programs import is_oracle as is_oracle
from programs import kernels as kernels
from programs import missing as missing
from programs import server_environment as server_environment
from programs import under_test as under_test

TIMEOUT = 30.0  # seconds that any wait may take; only a broken server gets near it
LIVE: list[Server] = []  # for the report of a failing test

T = TypeVar("T")

# Marks each worker when it has booted and has shown life: now it serves. In every config file.
_READY_HOOK = """
_inner_post_worker_init = globals().get("post_worker_init")
def post_worker_init(worker):
    if _inner_post_worker_init is not None:
        _inner_post_worker_init(worker)
    show_life, marked = worker.notify, []
    def notify():
        show_life()
        if worker.booted and not marked:
            import os
            marked.append(True)
            fd = os.open({path!r}, os.O_WRONLY | os.O_APPEND)
            os.write(fd, b"%d\\n" % os.getpid())
            os.close(fd)
    worker.notify = notify
"""


def require_program(name: str) -> str:
    """The path of a program; when it is absent, `missing`."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
    if path is None:
        missing(f"program {name!r} is not installed")
    return path


def strace_words(trace: Path, calls: str) -> list[str]:
    """What to put before a command to have these system calls written to a file.

    Lines show the kind of each descriptor. Where nothing may be traced: `missing`.
    """
    strace = require_program("strace")
    if subprocess.run([strace, "-o", trace, "true"], check=False).returncode:
        missing("strace may not trace here")
    return [strace, "-D", "-f", "-y", "-qq", "-e", f"trace={calls}", "-o", str(trace)]


def wait_for(condition: Callable[[], T], what: str, timeout: float = TIMEOUT) -> T:
    """Polls until the condition is true and returns its value; AssertionError if it never is."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s in vain for {what}")
        time.sleep(0.01)
    return value


def put(path: Path, text: str) -> None:
    """Writes a file in one step, as editors do: nobody sees it half written."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    new.replace(path)


def open_sockets(pid: int) -> int:
    """How many sockets a process has, listeners and pairs included."""
    count = 0
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += os.readlink(fd).startswith("socket:")
        except FileNotFoundError:  # closed in between
            pass
    return count


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free now. Prefer binding port 0 and reading `Server.address`."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])


def processes() -> dict[int, tuple[str, int, int]]:
    """Every process: pid -> (state letter, parent pid, session id)."""
    table = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path("/proc", entry, "stat").read_text(errors="replace")
            except OSError:
                continue  # it has just gone
            state, parent, _, session = stat[stat.rindex(")") + 2 :].split()[:4]
            table[int(entry)] = (state, int(parent), int(session))
    return table


def is_running(pid: int) -> bool:
    """True while the process exists and is no zombie."""
    return processes().get(pid, ("Z", 0, 0))[0] not in "ZX"


class Server:
    """One server in its directory. `start()` boots it; see `conftest.start_server`.

    Attributes: directory, config_path, log_path (stdout and stderr together), process,
    pid (of the master; tests of daemon mode and upgrades may set it), addresses, address.
    """

    def __init__(
        self,
        directory: Path,
        app: str | None,
        *args: str,
        bind: str | Iterable[str] | None = "127.0.0.1:0",
        config: str = "",
        files: Mapping[str, str] | None = None,
        env: Mapping[str, str | None] | None = None,
        kernel: str | None = None,
        prefix: Iterable[str] = (),
        pass_fds: Iterable[int] = (),
        errorlog: str | None = None,
        program: Program | None = None,
    ) -> None:
        """app: APP_MODULE (modules of apps/ and `files` are importable), args: further arguments.

        bind: one or several addresses, None for no -b; config: text of the config file;
        files: name -> text, put into the directory; prefix: words before the command (strace ...);
        errorlog: a file in the directory, passed as --error-logfile and read by log_text();
        program: what to start (default: the one under test).
        """
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.program = program or under_test()
        self.config_path = directory / "server.conf.py"
        self.log_path = directory / "server.log"
        self.errorlog_path = directory / errorlog if errorlog else None
        self._ready_path = directory / "ready.pids"
        self._ready_path.touch()
        self._ready_path.chmod(0o666)  # workers may run as another user
        for name, text in (files or {}).items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(text)
        self.write_config(config)
        binds = [bind] if isinstance(bind, str) else list(bind or ())
        self.command = [*prefix, *self.program.command, "-c", str(self.config_path)]
        for one in binds:
            self.command += ["-b", one]
        if self.errorlog_path:
            self.command += ["--error-logfile", str(self.errorlog_path)]
        self.command += [*args, *([app] if app else [])]
        self._env = server_environment(env or {}, kernel, self.program)
        self._pass_fds = tuple(pass_fds)
        self.addresses: list[Address] = []

    def write_config(self, text: str) -> None:
        """(Re)writes the config file; the mark of ready workers is added to it.

        All gunicorns of a user would share one control socket, so that is off unless asked for.
        """
        first = "control_socket_disable = True\n" if self.program.is_oracle else ""
        hook = _READY_HOOK.format(path=str(self._ready_path))
        put(self.config_path, f"{first}{text}\n{hook}")

    def start(self) -> Server:
        """Starts the process and returns at once."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.directory,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=self._pass_fds,
            )
        self.pid = self.process.pid
        LIVE.append(self)
        return self

    # -- logs --

    def log_text(self, since: int = 0) -> str:
        """What it printed and logged, from the given mark on."""
        text = self.log_path.read_text(errors="replace")
        if self.errorlog_path and self.errorlog_path.exists():
            text += self.errorlog_path.read_text(errors="replace")
        return text[since:]

    def log_mark(self) -> int:
        """A place in the log, for `since`. (Not across a log rotation.)"""
        return len(self.log_text())

    def wait_log(
        self, pattern: str, count: int = 1, since: int = 0, timeout: float = TIMEOUT
    ) -> list[Any]:
        """Waits for `count` matches of a regular expression (multi-line); returns re.findall's."""
        regex = re.compile(pattern, re.MULTILINE)

        def found() -> list[Any]:
            exit_code = self.process.poll()  # asked first: the last words are then in the log
            matches = regex.findall(self.log_text(since))
            if len(matches) >= count:
                return matches
            if exit_code is not None and self.pid == self.process.pid:
                raise AssertionError(
                    f"exited with {exit_code} without logging {pattern!r}:\n{self.log_text()}"
                )
            return []

        return wait_for(found, f"{count} x {pattern!r} in the log", timeout)

    # -- readiness and processes --

    def wait_ready(self, workers: int = 1) -> Server:
        """Waits until it listens and exactly that many workers have loaded the application."""
        listening = self.wait_log(r"Listening at: (\S*) \(\d+\)")[-1]
        self.addresses = [self._parse_address(text) for text in listening.split(",") if text]
        self.wait_workers(workers)
        return self

    def _parse_address(self, text: str) -> Address:
        """One listener as printed in `Listening at`: http://H:P, http://[H]:P or unix:PATH."""
        if text.startswith("unix:"):
            return str(self.directory / text[5:])
        host, _, port = text.partition("://")[2].rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def address(self) -> Address:
        """The first address."""
        return self.addresses[0]

    @property
    def url(self) -> str:
        """Base URL of the first address, which must be TCP."""
        host, port = self.address
        return f"http://[{host}]:{port}" if ":" in str(host) else f"http://{host}:{port}"

    def worker_pids(self, master: int | None = None) -> list[int]:
        """Live workers of the master that have loaded the application, oldest first."""
        ready = [int(line) for line in self._ready_path.read_text().split()]
        table = processes()
        children = {
            pid
            for pid, (state, parent, _) in table.items()
            if parent == (self.pid if master is None else master) and state not in "ZX"
        }
        return [pid for pid in ready if pid in children]

    def wait_workers(
        self,
        count: int,
        but_not: Iterable[int] = (),
        master: int | None = None,
        timeout: float = TIMEOUT,
    ) -> list[int]:
        """Waits for exactly `count` ready workers, none of them in `but_not`."""
        unwanted = set(but_not)

        def settled() -> tuple[list[int]] | None:
            if self.process.poll() is not None and self.pid == self.process.pid:
                raise AssertionError(f"exited with {self.process.returncode}:\n{self.log_text()}")
            pids = self.worker_pids(master)
            return (pids,) if len(pids) == count and not unwanted.intersection(pids) else None

        found = wait_for(settled, f"{count} ready workers", timeout)
        assert found is not None
        return found[0]

    def all_pids(self) -> list[int]:
        """Every live process of this server: by session, or by working directory (daemons)."""
        found = []
        for pid, (state, _, session) in processes().items():
            if state in "ZX" or pid == os.getpid():
                continue
            try:
                inside = Path(os.readlink(f"/proc/{pid}/cwd")).is_relative_to(self.directory)
            except OSError:
                inside = False
            if session == self.process.pid or inside:
                found.append(pid)
        return found

    def signal(self, number: int, pid: int | None = None) -> None:
        """Sends a signal to the master, or to the given process."""
        os.kill(self.pid if pid is None else pid, number)

    def wait_exit(self, timeout: float = TIMEOUT) -> int:
        """Waits for the end of the started process and returns its exit code (-N: by signal N)."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.process.pid} runs on after {timeout:g} s") from None

    def wait_gone(self, timeout: float = TIMEOUT) -> None:
        """Waits until no process of this server is left."""
        self.process.poll()
        wait_for(lambda: not self.all_pids(), "the end of all processes", timeout)

    def stop(self, number: int = SIGTERM) -> int:
        """Signals the master, waits for its end and its children's; returns the exit code."""
        self.signal(number)
        code = self.wait_exit()
        self.wait_gone()
        return code

    def destroy(self) -> None:
        """Ends every process by SIGKILL and reaps; safe to call at any time, in any state."""
        if self.process.poll() is None:
            self.process.kill()  # the master first, so that it does not replace its workers
        self.process.wait(TIMEOUT)

        def none_left() -> bool:
            pids = self.all_pids()
            for pid in pids:
                try:
                    os.kill(pid, SIGKILL)
                except ProcessLookupError:
                    pass
            return not pids

        wait_for(none_left, "the end of all processes")
        if self in LIVE:
            LIVE.remove(self)

    # -- requests --

    def connect(self) -> Client:
        """A new connection to the first address."""
        return Client(self.address)

    def request(self, target: str = "/", method: str = "GET", **options: Any) -> Response:
        """One request on its own connection; see http_client.request."""
        return request(self.address, target, method, **options)

    def evidence(self) -> str:
        """What a failing test shows of it."""
        lines = self.log_text().splitlines()
        return "\n".join(
            [
                f"command:   {shlex.join(self.command)}",
                f"directory: {self.directory}",
                f"exit code: {self.process.poll()}",
                *lines[-150:],
            ]
        )


StartServer = Callable[..., Server]


def starter(make_directory: Callable[[], Path]) -> Iterator[StartServer]:
    """The body of a fixture that starts servers, each in a directory of its own, and ends them."""
    started: list[Server] = []

    def start(
        app: str | None = "plain:app",
        *args: str,
        workers: int | None = 1,
        wait: bool = True,
        **options: Any,
    ) -> Server:
        """Boots a server with `workers` workers; see Server for the options.

        workers=None leaves their number to the config file, which must begin with one;
        wait=False returns at once (for servers that are expected to fail).
        """
        number = [] if workers is None else ["-w", str(workers)]
        server = Server(make_directory(), app, *number, *args, **options).start()
        started.append(server)
        return server.wait_ready(workers or 1) if wait else server

    yield start
    for server in started:
        server.destroy()


def evidence_of(given: Iterable[Any], report: Any) -> Any:
    """Adds to the report of a failed test what the servers show that it was given."""
    if report.failed:
        values = list(given)
        for server in LIVE:
            if server in values or server.directory.parent in values:  # its own, not the module's
                report.sections.append((f"server {server.pid}", server.evidence()))
    return report
