"""The supervisor: the half of the master that keeps the wanted number of workers alive.

Starts, retires, times out and reaps workers, with what the scoreboard says of them. No method
here waits for a worker. Signals, listeners, reload and upgrade are the arbiter's, which derives
from this class; together they are gunicorn's Arbiter, whose names hooks and subclasses use.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import time
import traceback
from typing import Any, NoReturn

from cyserve import process, signals, sock
from cyserve.access_writer import new_tray
from cyserve.children import ABORT_GRACE, BackOff, Child
from cyserve.errors import AppImportError, ConfigError, HaltServer, user_traceback
from cyserve.scoreboard import Scoreboard
from cyserve.systemd import ServiceManager

_BACKLOG_EVERY = 0.5  # seconds at least between two looks at the listen queues


class Supervisor:
    """Keeps `num_workers` workers of `worker_class` running.

    The arbiter sets the attributes declared here before it calls `__init__`.
    """

    WORKER_BOOT_ERROR = 3
    APP_LOAD_ERROR = 4

    app: Any
    cfg: Any
    log: Any
    pid: int | None
    timeout: float
    proc_name: str
    worker_class: Any
    reexec_pid: int
    master_pid: int
    service_manager: ServiceManager
    LISTENERS: list[sock.BaseSocket]
    #: pid -> worker, for hooks.
    WORKERS: dict[int, Any]

    def __init__(self) -> None:
        # Of the class too: code without an instance looks there, as in gunicorn.
        self.WORKERS = type(self).WORKERS = {}
        #: pid -> what the master knows of it.
        self.children: dict[int, Child] = {}
        self.worker_age = 0
        #: Number of the generation that is wanted; every reload begins a new one.
        self.generation = 0
        self.back_off = BackOff()
        self.booted_once = False
        self.stopping = False
        self._frozen_generation: int | None = None
        self.scoreboard = Scoreboard(2 * self.num_workers + 4, self.cfg.threads)
        self._reported_workers: int | None = None
        self._backlog_at = 0.0

    @property
    def num_workers(self) -> int:
        """Wanted number of workers."""
        raise NotImplementedError

    @property
    def reloading(self) -> bool:
        """Whether one generation of workers is being replaced by the next."""
        raise NotImplementedError

    def leave_master_behind(self) -> None:
        """In a new worker: close what it must not keep open."""
        raise NotImplementedError

    def on_stillborn(self, child: Child, text: str) -> bool:
        """A worker died before it served, as `text` says; true if that needs no back-off."""
        raise NotImplementedError

    def current_children(self) -> list[Child]:
        """Children that are meant to stay, oldest first."""
        return [
            child
            for child in self.children.values()
            if child.generation == self.generation and child.wanted
        ]

    def note_boots(self) -> None:
        """Take note of workers that have got ready."""
        now = time.monotonic()
        for child in self.children.values():
            if child.ready:
                self.booted_once = True
                self.back_off.good(child.born, now)

    def manage_workers(self) -> None:
        """Start the workers that are missing, retire the oldest of too many."""
        current = self.current_children()
        if len(current) < self.num_workers:
            self.spawn_workers()
        for child in current[: max(0, len(current) - self.num_workers)]:
            self.retire(child)
        active = len(self.current_children())
        if active != self._reported_workers:
            self._reported_workers = active
            self.log.debug(
                "%s workers",
                active,
                extra={"metric": "gunicorn.workers", "value": active, "mtype": "gauge"},
            )

    def spawn_workers(self) -> None:
        """Start the workers that are missing, unless boots keep failing."""
        if self.cfg.preload_app and self._frozen_generation != self.generation:
            self._frozen_generation = self.generation
            process.freeze_memory()
        for _ in range(self.num_workers - len(self.current_children())):
            if time.monotonic() < self.back_off.until:
                return
            self.spawn_worker()

    def spawn_worker(self) -> int:
        """Fork one worker; returns its pid, or 0 if the system refused. The child never returns."""
        self.worker_age += 1
        worker = self.worker_class(
            self.worker_age,
            self.pid,
            self.LISTENERS,
            self.app,
            self.timeout / 2.0,
            self.cfg,
            self.log,
        )
        worker.slot = self.scoreboard.claim()
        if getattr(worker, "holds_lines", False):  # it may not be derived from ours
            worker.tray = new_tray()
        self.cfg.pre_fork(self, worker)
        try:
            pid = signals.fork()
        except OSError as error:
            self.log.error("Cannot fork a worker: %s", error)
            self.scoreboard.free(worker.slot)
            self.back_off.failed(time.monotonic())
            return 0
        if pid == 0:
            self._run_worker(worker)
        worker.pid = worker.slot.pid = pid
        self.WORKERS[pid] = worker
        self.children[pid] = Child(worker, pid, self.generation)
        return pid

    def _run_worker(self, worker: Any) -> NoReturn:
        """Be the worker: the child's side of the fork, to the end of the process."""
        worker.pid = os.getpid()
        atexit.register(signals.ignore)  # before anything of the worker's, hence to run after it
        try:
            self.leave_master_behind()
            process.set_title(f"worker [{self.proc_name}]")
            self.log.info("Booting worker with pid: %s", worker.pid)
            if self.cfg.reuse_port:
                worker.sockets = sock.create_sockets(self.cfg, self.log)
            self.cfg.post_fork(self, worker)
            worker.init_process()
            sys.exit(0)
        except SystemExit:
            raise
        except AppImportError as error:
            self.log.debug("Exception while loading the application", exc_info=True)
            print(error, file=sys.stderr, flush=True)
            sys.exit(self.APP_LOAD_ERROR)
        except BaseException as error:
            if worker.booted:
                self.log.exception("Exception in worker process")
                sys.exit(-1)
            own = (type(error), error, user_traceback(error))
            self.log.error("Exception in worker process", exc_info=own)
            self.log.debug("The whole traceback", exc_info=True)
            print(error, file=sys.stderr, flush=True)
            sys.exit(self.WORKER_BOOT_ERROR)
        finally:
            signals.expect_the_end()
            self.log.info("Worker exiting (pid: %s)", worker.pid)
            try:
                worker.tmp.close()
                self.cfg.worker_exit(self, worker)
            except Exception:
                self.log.warning("Exception during worker exit:\n%s", traceback.format_exc())
            if worker.threads_left:
                process.end(sys.exc_info()[1])

    def report(self) -> None:
        """Tell others how things are: the service manager, and StatsD of the listen queues."""
        if not self.master_pid:  # until the old master of an upgrade is gone it speaks for both
            ready = sum(child.ready for child in self.current_children())
            self.service_manager.update(
                ready, self.num_workers, reloading=self.reloading, failing=self.back_off.delay > 0
            )
        now = time.monotonic()
        if self.cfg.enable_backlog_metric and now >= self._backlog_at:
            self._backlog_at = now + _BACKLOG_EVERY
            waiting = sock.get_backlog(self.LISTENERS)
            if waiting >= 0:
                extra = {"metric": "gunicorn.backlog", "value": waiting, "mtype": "histogram"}
                self.log.debug("socket backlog: %s", waiting, extra=extra)

    def retire(self, child: Child) -> None:
        """Ask a worker to finish and leave; it is killed after graceful_timeout."""
        if child.wanted:
            child.kill_at = time.monotonic() + self.cfg.graceful_timeout
            self.kill_worker(child.pid, signal.SIGTERM)

    def murder_workers(self) -> None:
        """End workers that are silent, boot for too long or were retired too long ago."""
        now = time.monotonic()
        for child in list(self.children.values()):
            if child.aborted_at is not None:
                if not child.killed and now - child.aborted_at >= ABORT_GRACE:
                    self._kill(child, "it was silent")
            elif child.kill_at is not None and now >= child.kill_at:
                if not child.killed:
                    self.kill_late(child)
            elif silence := child.overdue(now, self.timeout, self.cfg.boot_timeout):
                self.log.critical("WORKER TIMEOUT (pid:%s)%s", child.pid, silence)
                child.aborted_at = now
                child.worker.aborted = True
                self.kill_worker(child.pid, signal.SIGABRT)

    def kill_late(self, child: Child) -> None:
        self.log.warning("Worker graceful timeout (pid:%s)%s", child.pid, child.doing())
        self._kill(child, "graceful_timeout was over")

    def _kill(self, child: Child, why: str) -> None:
        child.killed = why
        self.kill_worker(child.pid, signal.SIGKILL)

    def reap_workers(self) -> None:
        """Take leave of every child that is dead, also of those that we did not start."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid == self.reexec_pid:
                self.reexec_pid = 0
                self.log.debug("The next master is gone (pid:%s, status:%s)", pid, status)
            elif child := self.children.pop(pid, None):
                self._bury(child, status)
            else:
                self.log.debug("Reaped unknown child process (pid:%s, status:%s)", pid, status)

    def _bury(self, child: Child, status: int) -> None:
        """Log the end of a worker and draw the consequences."""
        self.WORKERS.pop(child.pid, None)
        level, text = child.obituary(status)
        if level:  # by the method of that name, which is what loggers of users override
            getattr(self.log, logging.getLevelName(level).lower())("%s", text)
        self.note_boots()
        self.booted_once = self.booted_once or child.ready
        stillborn = child.stillborn(status)
        if stillborn and not (self.booted_once or self.reloading):
            if os.waitstatus_to_exitcode(status) == self.WORKER_BOOT_ERROR:
                raise HaltServer("Worker failed to boot.", self.WORKER_BOOT_ERROR)
            if os.waitstatus_to_exitcode(status) == self.APP_LOAD_ERROR:
                raise HaltServer("App failed to load.", self.APP_LOAD_ERROR)
        self.cfg.child_exit(self, child.worker)
        self._inherit(child)
        if not stillborn or self.on_stillborn(child, text):
            return
        if self.back_off.failed(time.monotonic()):
            delay = self.back_off.delay
            self.log.error("A worker died while it started; next try in %d s.", delay)

    def kill_workers(self, sig: int) -> None:
        """Send a signal to all workers."""
        for pid in list(self.children):
            self.kill_worker(pid, sig)

    def kill_worker(self, pid: int, sig: int) -> None:
        """Send a signal to one worker; one that somebody else has reaped is forgotten."""
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            child = self.children.pop(pid, None)
            if child is not None:
                self.WORKERS.pop(pid, None)
                self._inherit(child)
                self.cfg.worker_exit(self, child.worker)

    def _inherit(self, child: Child) -> None:
        """Take what a dead worker leaves: its slot, and access lines that it has not written."""
        self.scoreboard.free(child.slot)
        tray = getattr(child.worker, "tray", None)
        if tray is not None and hasattr(self.log, "write_left"):
            self.log.write_left(tray.left())


def usable(worker_class: Any) -> Any:
    """The worker class, if it can work for this master. Raises ConfigError."""
    if any(
        base.__module__ == "gunicorn.workers.base" for base in getattr(worker_class, "__mro__", ())
    ):
        raise ConfigError(
            f"worker_class = {worker_class.__name__!r}: it derives from the Worker of the gunicorn"
            " that is installed, which was imported before cyserve or with gunicorn_alias off;"
            " run the program by `python -m cyserve.gunicorn_alias`"
        )
    return worker_class
