"""The worker: what every kind of worker has in common before and around serving.

A worker is made in the master, before the fork; `init_process` runs in the child, gives up
privileges, installs signal handlers, loads the application and calls `run`, which subclasses
write. Subclassed and patched by others, so names and call order are gunicorn's. No HTTP here.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import time
from types import FrameType, MethodType

from cyserve import process
from cyserve.certificates import Certificates
from cyserve.errors import user_traceback
from cyserve.scoreboard import READY, STARTING, Scoreboard, Serving, Slot
from cyserve.workers.workertmp import WorkerTmp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_STDERR = 2
FAREWELL = 0.25  # seconds to tell those who wait in vain, and to leave before the master kills


class Worker(Serving):
    """One worker process.

    age: running number, the oldest worker has the lowest.
    ppid: pid of the master.
    sockets: listeners (`cyserve.sock`).
    app: the application object (`app.wsgi()` gives the WSGI callable).
    timeout: seconds within which `notify` should be called; half of the setting.
    cfg, log: settings and logger.
    """

    SIGNALS = [
        signal.Signals[f"SIG{name}"]
        for name in ("ABRT", "HUP", "QUIT", "INT", "TERM", "USR1", "USR2", "WINCH", "CHLD")
    ]

    #: Whether `certificates` are wanted; worker classes of others bring TLS of their own.
    serves_tls = False

    #: Whether access lines may wait for a moment in the `tray` that the master then makes.
    holds_lines = False
    tray: Any = None

    #: (read end, write end) of the pipe that every signal writes to; empty before the fork.
    PIPE: tuple[int, ...] = ()

    def __init__(
        self, age: int, ppid: int, sockets: list[Any], app: Any, timeout: float, cfg: Any, log: Any
    ) -> None:
        super().__init__()
        self.age = age
        self.pid: int | str = "[booting]"
        self.ppid = ppid
        self.sockets = sockets
        self.app = app
        self.timeout = timeout
        self.cfg = cfg
        self.log = log
        self.booted = False
        self.aborted = False
        self.leaving = False  # a signal handler ends the process in the middle of what runs
        self.threads_left = 0  # that the process shall not wait for when it ends
        self.reloader: Any = None
        self.inherited: frozenset[str] = frozenset()  # files of code that the master had loaded
        self.max_requests = sys.maxsize
        if cfg.max_requests > 0:
            self.max_requests = cfg.max_requests
            if cfg.max_requests_jitter:
                import random  # noqa: PLC0415 - it loads hashlib

                self.max_requests += random.randint(0, cfg.max_requests_jitter)
        self.wait_fds: list[Any] = []
        self.wsgi: Any = None
        self.certificates: Certificates | None = None
        #: The place on the scoreboard; the master gives the worker a shared one before the fork.
        self.slot: Slot = Scoreboard(1).claim()
        self.tmp = WorkerTmp(cfg, self)
        #: Ends requests that take too long; None without `request_timeout`.
        self.watch: Any = None

    def __str__(self) -> str:
        return f"<Worker {self.pid}>"

    def notify(self) -> None:
        """Tell the master that the worker is alive; call it at least every `timeout` seconds.

        The first call from `run` says that it is ready: event loop and application have started.
        """
        slot = self.slot
        if slot.state == STARTING:
            slot.state = READY
        slot.beat()

    def run(self) -> None:
        """Serve until `alive` is false. Written by subclasses."""
        raise NotImplementedError()

    def init_process(self) -> None:
        """Become a worker and serve; runs in the child and returns when serving is over.

        A subclass that adds to it calls this last, since it does not return before the end.
        """
        os.environ.update(self.cfg.env)
        if self.serves_tls and self.cfg.is_ssl:  # with the rights to read a key that only root may
            self.certificates = Certificates(self.cfg, self.log)
        process.set_owner_process(self.cfg.uid, self.cfg.gid, initgroups=self.cfg.initgroups)

        self.PIPE = process.wake_pipe()
        self.wait_fds = [*self.sockets, self.PIPE[0]]
        self.log.close_on_exec()

        faulthandler.disable()  # it must come after our handlers to run before them
        self.init_signals()
        self._fault_fd = os.dup(self._error_log_fd())
        faulthandler.enable(file=self._fault_fd)

        if self.cfg.reload:
            self._start_reloader()
        self._load()
        self.cfg.post_worker_init(self)
        self.booted = True
        self.slot.state = STARTING
        if self.cfg.request_timeout:
            self._start_watch()
        self.run()
        if self.slot.outdated:
            self.cfg.worker_int(self)

    def load_wsgi(self) -> None:
        """Load the application; whatever it raises ends the worker."""
        self.wsgi = self.app.wsgi()

    def _load(self) -> None:
        """Load the application; while code is reloaded, one that is broken shows why."""
        try:
            self.load_wsgi()
        except Exception as exc:
            if self.reloader is None:
                raise
            from cyserve import reloader  # noqa: PLC0415 - for development only

            files = reloader.faulty_files(exc)
            if not files:
                raise  # no code can be repaired: there is no such application
            own = (type(exc), exc, user_traceback(exc))
            self.log.error("The application does not load: %s", exc, exc_info=own)
            for path in files:
                self.reloader.add_extra_file(path)
            self.wsgi = reloader.fail_app(exc)

    def _start_reloader(self) -> None:
        """Watch the code from here on, so that nothing of it is loaded unwatched."""
        from cyserve import reloader  # noqa: PLC0415 - for development only

        self.log.warning("Reloader is on. Use in development only!")
        self.inherited = reloader.code_files()
        reloader.record_imports()
        files = [*self.cfg.reload_extra_files, *self.app.code_files]
        if self.app.config_path:
            files.append(self.app.config_path)
        self.reloader = reloader.make_reloader(
            self.cfg.reload_engine, files, self.code_changed, self.log
        )
        self.reloader.start()

    def code_changed(self, filename: str) -> None:
        """A watched file has changed: ask the master for a successor, and serve until it is there.

        Called by the reloader's thread.
        """
        if not self.alive:
            return  # it is going already
        self.log.info("Worker reloading: %s modified", filename)
        if filename in self.inherited and filename != self.app.config_path:
            self.log.warning(
                "%s was imported by the master (by the config file, or as the program itself): "
                "it stays as it is until a restart",
                filename,
            )
        self.slot.outdated += 1
        if self.is_parent_alive():
            with contextlib.suppress(OSError):  # not allowed to: the master looks once a second
                os.kill(self.ppid, signal.SIGCHLD)

    def _start_watch(self) -> None:
        from cyserve.workers.request_watch import RequestWatch  # noqa: PLC0415 - rarely on

        interrupter = self.interrupter()
        if interrupter is None:
            self.log.warning("request_timeout has no effect in a %s", type(self).__name__)
        else:
            self.watch = RequestWatch(self, interrupter).start()

    def interrupter(self) -> Any:
        """How requests are interrupted (`interrupts.Interrupter`); None if they cannot be.

        They cannot where they do not go through our cycle, as in worker classes of others.
        """
        return None

    def unwatch(self, connection: Any) -> None:
        """The request that this connection runs is overdue: its descriptor will be exchanged.

        Called by any thread. A worker whose poller looks at it meanwhile has to leave it out.
        """

    def lose(self, connection: Any) -> None:
        """The request that it runs goes on although it was interrupted; the worker is to stop.

        Called by any thread. It does not hold up the end if its `place` is `connection_loop.LOST`.
        """

    def init_signals(self) -> None:
        """Install the worker's handlers; every signal also writes a byte to `PIPE`."""
        for sig in self.SIGNALS:
            signal.signal(sig, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, self.handle_exit)
        signal.signal(signal.SIGQUIT, self.handle_quit)
        signal.signal(signal.SIGINT, self.handle_quit)
        signal.signal(signal.SIGABRT, self.handle_abort)
        signal.signal(signal.SIGUSR1, self.handle_usr1)
        signal.signal(signal.SIGWINCH, self.handle_winch)
        # Meant for the master, yet tools send them to everything of one name.
        signal.signal(signal.SIGHUP, self.handle_ignored)
        signal.signal(signal.SIGUSR2, self.handle_ignored)
        # The application's system calls go on where these two interrupted them.
        signal.siginterrupt(signal.SIGTERM, False)
        signal.siginterrupt(signal.SIGUSR1, False)
        signal.set_wakeup_fd(self.PIPE[1], warn_on_full_buffer=False)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """TERM: finish what is running, then leave."""
        self.alive = False
        if sig == signal.SIGQUIT:  # from uvicorn's worker, whose loop looks out for TERM alone
            signal.raise_signal(signal.SIGTERM)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """INT, QUIT: leave now, in the middle of whatever runs.

        Only once: Ctrl-C brings both, and the second would break off the end that is under way.
        """
        if self.leaving:
            return
        self.alive = False
        self.leaving = True
        self.cfg.worker_int(self)
        time.sleep(0.1)
        sys.exit(0)

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """ABRT: the master found the worker silent; all stacks have been written already."""
        self.alive = False
        self.leaving = True
        self.cfg.worker_abort(self)
        sys.exit(1)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Log why a request failed before anything was sent, and answer it.

        req: the request, as far as it is known if it could not be parsed; client, addr: its socket
        and peer; exc: what the application raised, or a ParseException. For subclasses and for
        those who wrap it.
        """
        from cyserve.http.cycle import answer_failure  # noqa: PLC0415 - the master needs no HTTP

        answer_failure(self.log, req, exc)

    def own_handle_error(self) -> Any:
        """`handle_error` if somebody has replaced it; None: refusals go a shorter way."""
        return None if is_as_written(self.handle_error, _HANDLE_ERROR) else self.handle_error

    def handle_usr1(self, sig: int, frame: FrameType | None) -> None:
        """USR1: open the log files anew."""
        self.log.reopen_files()
        if hasattr(self, "_fault_fd"):
            os.dup2(self._error_log_fd(), self._fault_fd, inheritable=False)

    def handle_winch(self, sig: int, frame: FrameType | None) -> None:
        """WINCH: a terminal changed its size; nothing to do."""
        self.log.debug("worker: SIGWINCH ignored.")

    def handle_ignored(self, sig: int, frame: FrameType | None) -> None:
        """HUP, USR2: the master's affair."""
        self.log.debug("worker: %s ignored.", signal.Signals(sig).name)

    def is_parent_alive(self) -> bool:
        """Whether the master that started this worker still lives."""
        return self.ppid == os.getppid()

    def _error_log_fd(self) -> int:
        """Descriptor that the error log writes to; standard error if it is not a file."""
        for handler in getattr(getattr(self.log, "error_log", None), "handlers", ()):
            try:
                return int(handler.stream.fileno())
            except (AttributeError, OSError, ValueError):
                continue
        return _STDERR


def is_as_written(method: Any, stock: Any) -> bool:
    """Whether a bound method is `stock` itself. The proxies of wrapt show its `__func__`, too."""
    return type(method) is MethodType and method.__func__ is stock


def draining_ends(patience: float) -> tuple[float, float]:
    """Seconds for which a stopping worker still begins requests, and those for which it stays.

    patience: seconds after which the master kills it.
    """
    margin = min(FAREWELL, patience / 4)
    return patience - 2 * margin, patience - margin


def empty(fd: int) -> None:
    """Drop the bytes in a pipe whose only meaning was to wake somebody."""
    try:
        while len(os.read(fd, 4096)) == 4096:
            pass
    except BlockingIOError:
        pass


_HANDLE_ERROR = Worker.handle_error
