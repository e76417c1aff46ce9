"""The arbiter: the master process. It owns the listeners and keeps the wanted number of workers.

One loop: sleep until a signal or a second has passed, act on signals in the order of arrival,
reap, look for silent workers, go on with a reload, start or retire workers. Nothing in the loop
waits for a worker, so that a signal is always answered at once. Users' hooks get the arbiter as
`server`; its names are gunicorn's. It never speaks HTTP and never imports an event loop.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections import deque
from types import FrameType

from cyserve import SERVER_SOFTWARE, certificates, process, signals, sock, systemd, upgrade
from cyserve.children import Child
from cyserve.errors import ConfigError, HaltServer
from cyserve.pidfile import Pidfile
from cyserve.rollover import Reload, Rollover
from cyserve.supervisor import Supervisor, usable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_TICK = 1.0  # seconds between looks at the workers when nothing happens
_QUICK_TICK = 0.05  # the same while new workers are awaited
_QUICK_SHUTDOWN = 2.0  # seconds that INT or QUIT leaves to workers that are already draining
_REAP_SECONDS = 5.0  # for killed workers to be gone


class Arbiter(Supervisor):
    """The master of one server.

    app: the application object (`cyserve.app.base`). Raises RuntimeError, ConfigError or whatever
    a preloaded application raises. `run` does not return: it exits the process.
    """

    #: How to start the next master: 0 the program, "args" its arguments, "cwd" the directory.
    START_CTX = upgrade.start_context()
    SIGNALS = signals.SIGNALS
    SIG_NAMES = signals.SIG_NAMES

    # Of the class as well: the first call of nworkers_changed comes before an instance has its own.
    LISTENERS: list[sock.BaseSocket] = []
    WORKERS: dict[int, Any] = {}

    def __init__(self, app: Any) -> None:
        os.environ["SERVER_SOFTWARE"] = SERVER_SOFTWARE
        self.launch_env: dict[str, str] = dict(app.cfg.env_orig)
        self.log: Any = None
        self._num_workers: int | None = None
        self.pid: int | None = None
        self.pidfile: Pidfile | None = None
        self.systemd = False
        self.reexec_pid = 0
        self.master_pid = 0
        self.master_name = "Master"
        self.LISTENERS = []
        self.rollover: Rollover | None = None
        self.setup(app)
        self.service_manager = systemd.ServiceManager(self.log)
        super().__init__()
        self._queue = signals.SignalQueue()

    # -- settings --

    @property
    def num_workers(self) -> int:
        """Wanted number of workers; assigning calls the hook nworkers_changed."""
        return self._num_workers or 0

    @num_workers.setter
    def num_workers(self, value: int) -> None:
        old, self._num_workers = self._num_workers, value
        self.cfg.nworkers_changed(self, value, old)

    @property
    def reloading(self) -> bool:
        """Whether one generation of workers is being replaced by the next."""
        return self.rollover is not None

    @property
    def SIG_QUEUE(self) -> deque[int]:
        """Signals that wait for the loop."""
        return self._queue.pending

    def setup(self, app: Any) -> None:
        """Put the settings of `app` in force. Raises RuntimeError if one cannot be."""
        self.app = app
        self.cfg = app.cfg
        if self.log is None:
            self.log = self.cfg.logger_class(app.cfg)
        self.worker_class = usable(self.cfg.worker_class)
        self.address = self.cfg.address
        self.num_workers = self.cfg.workers
        self.timeout = self.cfg.timeout
        self.proc_name = self._named(self.cfg.proc_name)
        error_log = getattr(self.log, "error_log", None)  # a logger of the user's may have none
        if error_log is None or error_log.isEnabledFor(logging.DEBUG):
            lines = (
                f"  {name}: {setting.value}" for name, setting in sorted(self.cfg.settings.items())
            )
            self.log.debug("Current configuration:\n%s", "\n".join(lines))
        os.environ.update(self.cfg.env)
        if self.cfg.reload:
            from cyserve import reloader  # noqa: PLC0415 - for development only

            reloader.check_engine(self.cfg.reload_engine)
        if self.cfg.preload_app:
            if self.cfg.reload:
                self.log.warning("preload_app is left out: reload needs workers that load the code")
            else:
                self.app.wsgi()

    def restore_environment(self, cfg: Any) -> None:
        """Take back what `raw_env` of `cfg` had put into the environment."""
        for name in cfg.env:
            if name in cfg.env_orig:
                os.environ[name] = cfg.env_orig[name]
            else:
                os.environ.pop(name, None)

    def place_pidfile(self) -> None:
        """Let the pid file be where the settings want it; if it cannot, say so and keep the old."""
        old, new = self.pidfile, None
        if self.cfg.pidfile:
            new = Pidfile(self._named(self.cfg.pidfile))
            try:
                new.create(os.getpid())
            except RuntimeError as error:
                self.log.error("%s", error)
                return
        if old is not None and (new is None or new.fname != old.fname):
            old.unlink()
        self.pidfile = new

    def show_title(self) -> None:
        """Show the name of the server in the process list."""
        process.set_title(f"master [{self.proc_name}]")

    def _named(self, name: str) -> str:
        """`name` as it is for this master: the successor in an upgrade adds .2 for a while."""
        return f"{name}.2" if self.master_pid else name

    # -- start --

    def start(self) -> None:
        """Get everything ready for the first worker."""
        self.log.info("Starting %s", SERVER_SOFTWARE.replace("/", " "))
        self.pid = os.getpid()
        self.master_pid = upgrade.old_master()
        if self.master_pid:
            self.log.reopen_files()
            self.proc_name = self._named(self.proc_name)
            self.master_name = "Master.2"
        if self.cfg.pidfile:
            pidfile = Pidfile(self._named(self.cfg.pidfile))
            pidfile.create(self.pid)
            self.pidfile = pidfile
        self.cfg.on_starting(self)
        self.init_signals()
        self.check_certificates()
        if not self.LISTENERS:
            fds, self.systemd = upgrade.inherited_fds()
            if fds or not self.cfg.reuse_port:
                try:
                    self.LISTENERS = sock.create_sockets(self.cfg, self.log, fds)
                except (OSError, ValueError) as error:
                    raise RuntimeError(f"Cannot listen: {error}") from None
        self.log.debug("Arbiter booted")
        if self.cfg.worker_tmp_dir is not None:
            self.log.debug("worker_tmp_dir is not needed: life is shown in shared memory")
        listeners = ",".join(map(str, self.LISTENERS))
        self.log.info("Listening at: %s (%s)", listeners, self.pid)
        self.log.info("Using worker: %s", self.cfg.worker_class_str)
        sock.warn(self.cfg, self.log, inherited=self.systemd)
        if hasattr(self.worker_class, "check_config"):
            self.worker_class.check_config(self.cfg, self.log)
        self.cfg.when_ready(self)

    def check_certificates(self) -> None:
        """Raise ConfigError if what the settings say of TLS cannot be served with."""
        if self.cfg.is_ssl:
            # In a child: the master needs neither the memory that ssl takes nor the key.
            complaint = signals.try_in_child(certificates.check, self.cfg)
            if complaint:
                raise ConfigError(complaint)

    def init_signals(self) -> None:
        """Install the master's handlers, which only queue."""
        self._queue.install(self.signal)

    def signal(self, sig: int, frame: FrameType | None) -> None:
        """Queue a signal for the loop."""
        self._queue.put(sig)

    def wakeup(self) -> None:
        """Let the loop go round at once."""
        self._queue.wake()

    # -- the loop --

    def run(self) -> NoReturn:
        """Serve until a signal ends it, then exit the process."""
        try:
            self.start()
        except BaseException:
            if self.pidfile is not None:
                self.pidfile.unlink()
            raise
        self.show_title()
        reason, exit_status = None, 0
        try:
            self.manage_workers()
            while True:
                self.maybe_promote_master()
                self.wait_for_signals(self._pause())
                self._handle_signals()
                self.reap_workers()
                self.murder_workers()
                self.note_boots()
                if self.rollover is not None and self.rollover.step():
                    self.rollover = None
                self.replace_outdated()
                self.manage_workers()
                self.report()
        except (StopIteration, KeyboardInterrupt):
            pass
        except HaltServer as error:
            reason, exit_status = error.reason, error.exit_status
        except SystemExit:
            raise  # also the end of every worker, which was forked inside the loop
        except Exception:
            self.log.error("Unhandled exception in main loop", exc_info=True)
            self.stop(False)
            if self.pidfile is not None:
                self.pidfile.unlink()
            sys.exit(-1)
        self.halt(reason, exit_status)

    def wait_for_signals(self, timeout: float = 1.0) -> None:
        """Sleep until a signal is queued, at most `timeout` seconds."""
        self._queue.wait(timeout)

    def _pause(self) -> float:
        if self.rollover is not None:
            return _QUICK_TICK
        if self.service_manager.waits and not self.master_pid:
            return _QUICK_TICK
        wait = self.back_off.until - time.monotonic()
        tick = min(_TICK, self.service_manager.ping_every / 2 or _TICK)
        return min(tick, wait) if wait > 0 else tick

    def _handle_signals(self) -> None:
        pending = self._queue.pending  # a subclass may have a SIG_QUEUE of its own
        while pending:
            sig = pending.popleft()
            name = self.SIG_NAMES.get(sig, str(sig))
            handler = getattr(self, f"handle_{name}", None)
            if handler is None:
                self.log.error("Unhandled signal: %s", name)
                continue
            say = self.log.debug if sig == signal.SIGCHLD else self.log.info
            say("Handling signal: %s", name)
            handler()

    def maybe_promote_master(self) -> None:
        """Become the one master when the old one of an upgrade is gone."""
        if not self.master_pid or self.master_pid == os.getppid():
            return
        self.log.info("Master has been promoted.")
        self.master_name = "Master"
        self.master_pid = 0
        self.proc_name = self.cfg.proc_name
        upgrade.forget_old_master()
        self.place_pidfile()
        self.show_title()
        self.service_manager.take_over()

    # -- signals --

    def handle_hup(self) -> None:
        """HUP: reload the settings and replace the workers."""
        self.log.info("Hang up: %s", self.master_name)
        self.reload()

    def handle_term(self) -> NoReturn:
        """TERM: graceful stop."""
        raise StopIteration

    def handle_int(self) -> NoReturn:
        """INT: quick stop."""
        self.stop(False)
        raise StopIteration

    def handle_quit(self) -> NoReturn:
        """QUIT: quick stop."""
        self.stop(False)
        raise StopIteration

    def handle_ttin(self) -> None:
        """TTIN: one worker more."""
        self.num_workers += 1
        self.manage_workers()

    def handle_ttou(self) -> None:
        """TTOU: one worker less, but never none."""
        if self.num_workers > 1:
            self.num_workers -= 1
            self.manage_workers()

    def handle_usr1(self) -> None:
        """USR1: open the log files anew, here and in the workers."""
        self.log.reopen_files()
        self.kill_workers(signal.SIGUSR1)

    def handle_usr2(self) -> None:
        """USR2: start the next master."""
        self.reexec()

    def handle_winch(self) -> None:
        """WINCH: of a daemon, stop the workers but stay."""
        if not self.cfg.daemon:
            self.log.debug("SIGWINCH ignored. Not daemonized")
            return
        self.log.info("graceful stop of workers")
        self.num_workers = 0
        for child in list(self.children.values()):
            self.retire(child)

    def handle_chld(self) -> None:
        """CHLD: a child is dead."""
        self.reap_workers()

    # -- stop --

    def halt(self, reason: str | None = None, exit_status: int = 0) -> NoReturn:
        """Stop the workers gracefully, clean up and exit with `exit_status`."""
        self.stop()
        say = self.log.error if exit_status else self.log.info
        say("Shutting down: %s", self.master_name)
        if reason is not None:
            say("Reason: %s", reason)
        if self.pidfile is not None:
            self.pidfile.unlink()
        self.cfg.on_exit(self)
        self._queue.close()
        sys.exit(exit_status)

    def stop(self, graceful: bool = True) -> None:
        """Stop all workers: TERM, or QUIT unless `graceful`; KILL after graceful_timeout.

        The files of unix sockets go first and our copies of the listeners with them, so what a
        worker finds in the listen queue is all there will ever be.
        """
        if not (self.stopping or self.master_pid):
            self.service_manager.stop(self.reexec_pid)
        self.stopping = True
        upgrading = bool(self.reexec_pid or self.master_pid)
        unlink = not (upgrading or self.systemd or self.cfg.reuse_port)
        sock.close_sockets([*self.LISTENERS, *self._given_up_listeners()], unlink)
        self.LISTENERS = []
        self.rollover = None
        deadline = time.monotonic() + self.cfg.graceful_timeout
        for child in self.children.values():
            child.kill_at = deadline  # it is wanted no more, whatever it was doing
        self.kill_workers(signal.SIGTERM if graceful else signal.SIGQUIT)
        while self.children and (left := deadline - time.monotonic()) > 0:
            self.wait_for_signals(min(_TICK, left))
            if self._quick_shutdown_wanted() and graceful:
                graceful = False
                self.log.info("Quick shutdown requested")
                self.kill_workers(signal.SIGQUIT)
                deadline = min(deadline, time.monotonic() + _QUICK_SHUTDOWN)
            self.reap_workers()
            self.service_manager.show_life(busy=True)
        for child in list(self.children.values()):
            self.kill_late(child)
        deadline = time.monotonic() + _REAP_SECONDS
        while self.children and (left := deadline - time.monotonic()) > 0:
            self.wait_for_signals(min(_TICK, left))
            self._queue.pending.clear()
            self.reap_workers()

    def _quick_shutdown_wanted(self) -> bool:
        """Empty the queue while stopping; whether INT or QUIT was in it."""
        waiting = set(self._queue.pending)
        self._queue.pending.clear()
        return bool(waiting & {signal.SIGINT, signal.SIGQUIT})

    # -- reload and upgrade --

    def reload(self) -> None:
        """Replace settings and workers; if that fails, everything stays as it is.

        A reload that is still under way is given up first.
        """
        if self.rollover is not None:
            self.log.info("The reload that is under way is given up for another one.")
            self.rollover.abandon()
        if not self.master_pid:
            self.service_manager.reload()
        self._roll_over(Reload(self))

    def replace_outdated(self) -> None:
        """Replace all workers if one of them says that its code has changed.

        Of a replacement that is under way only the new workers count: the old ones know nothing
        that is not true of those as well.
        """
        if not any(child.outdated for child in self.current_children()):
            return
        new_settings = self.app.config_changed()
        if isinstance(self.rollover, Reload) and not new_settings:
            return  # it comes to its end first
        for child in self.children.values():
            child.changes_seen = child.slot.outdated
        if new_settings:
            self.reload()
            return
        if self.rollover is not None:
            self.rollover.abandon()
        self._roll_over(Rollover(self))

    def _roll_over(self, rollover: Rollover) -> None:
        """Begin to replace the workers."""
        self.rollover = None
        if rollover.begin():
            self.rollover = rollover
            self.back_off.clear()
            self.scoreboard.lanes = max(1, self.cfg.threads)
            try:
                self.manage_workers()
            except Exception as error:  # a hook of the new settings
                self.log.exception("Exception while new workers were started")
                rollover.fail(str(error) or type(error).__name__)
                self.rollover = None

    def reexec(self) -> None:
        """Start the next master beside this one."""
        if self.reexec_pid:
            self.log.warning("USR2 signal ignored. Child exists.")
            return
        if self.master_pid:
            self.log.warning("USR2 signal ignored. Parent exists.")
            return
        try:
            self.reexec_pid = signals.fork()
        except OSError as error:
            self.log.error("Cannot fork the next master: %s", error)
        if self.reexec_pid or os.getpid() == self.pid:
            return
        try:
            self.cfg.pre_exec(self)
            fds = [listener.fileno() for listener in self.LISTENERS]
            upgrade.execute(self.START_CTX, self.launch_env, fds, self.systemd)
        except BaseException:
            self.log.exception("Cannot start the next master")
        finally:
            os._exit(1)

    def on_stillborn(self, child: Child, text: str) -> bool:
        """A worker died before it served: if it is a reload's new one, that has failed.

        An old one is about to be replaced anyway.
        """
        if self.rollover is None:
            return False
        if child.generation == self.generation:
            self.rollover.fail_by(text)
            self.rollover = None
        return True

    def leave_master_behind(self) -> None:
        """In a new worker: close what it must not keep open."""
        self._queue.close()
        for listener in self._given_up_listeners():
            listener.close()

    def _given_up_listeners(self) -> list[sock.BaseSocket]:
        """Those that a reload under way is going to close when it has succeeded."""
        before = self.rollover.listeners if self.rollover is not None else []
        return [listener for listener in before if listener not in self.LISTENERS]
