"""Settings, sections Dirty Arbiters and Dirty Arbiter Hooks: gunicorn's pool for long jobs.

This version of cyserve does not have that pool. Like gunicorn, it starts one only if there are both
applications and workers for it, so only who asks for both is told so.
"""

from __future__ import annotations

from cyserve.config.core import Setting
from cyserve.config.kinds import Number, Texts
from cyserve.config.validators import validate_callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cyserve.config.core import Config

__all__ = (
    "DirtyApps",
    "DirtyGracefulTimeout",
    "DirtyPostFork",
    "DirtyThreads",
    "DirtyTimeout",
    "DirtyWorkerExit",
    "DirtyWorkerInit",
    "DirtyWorkers",
    "OnDirtyStarting",
)

SECTION = "Dirty Arbiters"
HOOKS_SECTION = "Dirty Arbiter Hooks"


class DirtyApps(Texts):
    name = "dirty_apps"
    section = SECTION
    cli = ("--dirty-app",)
    meta = "STRING"
    desc = """\
        Application for long jobs, as MODULE:CLASS or MODULE:CLASS:WORKERS. Repeatable.

        This version of cyserve has no dirty workers: with dirty_workers as well it does not start.
        """

    def missing(self, cfg: Config) -> str | None:
        return "dirty workers" if self.get() and cfg.dirty_workers else None


class DirtyWorkers(Number):
    name = "dirty_workers"
    section = SECTION
    cli = ("--dirty-workers",)
    default = 0
    desc = """\
        Number of processes for long jobs; 0 is none.
        """


class DirtyTimeout(Number):
    name = "dirty_timeout"
    section = SECTION
    cli = ("--dirty-timeout",)
    default = 300
    desc = """\
        Seconds that a long job may take.
        """


class DirtyThreads(Number):
    name = "dirty_threads"
    section = SECTION
    cli = ("--dirty-threads",)
    default = 1
    desc = """\
        Number of threads in each process for long jobs.
        """


class DirtyGracefulTimeout(Number):
    name = "dirty_graceful_timeout"
    section = SECTION
    cli = ("--dirty-graceful-timeout",)
    default = 30
    desc = """\
        Seconds that a process for long jobs gets to finish after it was told to stop.
        """


class OnDirtyStarting(Setting):
    name = "on_dirty_starting"
    section = HOOKS_SECTION
    validator = validate_callable(1)
    desc = """\
        Called when the master of the dirty workers starts: on_dirty_starting(arbiter).
        """

    @staticmethod
    def on_dirty_starting(arbiter: Any) -> None: ...

    default = on_dirty_starting


class DirtyPostFork(Setting):
    name = "dirty_post_fork"
    section = HOOKS_SECTION
    validator = validate_callable(2)
    desc = """\
        Called when a dirty worker has been forked: dirty_post_fork(arbiter, worker).
        """

    @staticmethod
    def dirty_post_fork(arbiter: Any, worker: Any) -> None: ...

    default = dirty_post_fork


class DirtyWorkerInit(Setting):
    name = "dirty_worker_init"
    section = HOOKS_SECTION
    validator = validate_callable(1)
    desc = """\
        Called in a dirty worker that has loaded its applications: dirty_worker_init(worker).
        """

    @staticmethod
    def dirty_worker_init(worker: Any) -> None: ...

    default = dirty_worker_init


class DirtyWorkerExit(Setting):
    name = "dirty_worker_exit"
    section = HOOKS_SECTION
    validator = validate_callable(2)
    desc = """\
        Called when a dirty worker is gone: dirty_worker_exit(arbiter, worker).
        """

    @staticmethod
    def dirty_worker_exit(arbiter: Any, worker: Any) -> None: ...

    default = dirty_worker_exit
