"""Settings, section Server Hooks: functions of the user that the server calls.

Each hook is a function in the config file, or the dotted path of one. The defaults do nothing,
except pre_request, which logs. A hook of the master that raises stops the master.
"""

from __future__ import annotations

from cyserve.config.core import Setting
from cyserve.config.validators import validate_callable, validate_post_request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = (
    "ChildExit",
    "NewSSLContext",
    "NumWorkersChanged",
    "OnExit",
    "OnReload",
    "OnStarting",
    "PostRequest",
    "PostWorkerInit",
    "Postfork",
    "PreExec",
    "PreRequest",
    "Prefork",
    "WhenReady",
    "WorkerAbort",
    "WorkerExit",
    "WorkerInt",
)

SECTION = "Server Hooks"


class OnStarting(Setting):
    name = "on_starting"
    section = SECTION
    validator = validate_callable(1)
    desc = """\
        Called in the master, just before it starts up: on_starting(server).
        """

    @staticmethod
    def on_starting(server: Any) -> None: ...

    default = on_starting


class OnReload(Setting):
    name = "on_reload"
    section = SECTION
    validator = validate_callable(1)
    desc = """\
        Called in the master during a reload by SIGHUP: on_reload(server).

        The new settings, logs and sockets are in place; the new workers are not started yet.
        """

    @staticmethod
    def on_reload(server: Any) -> None: ...

    default = on_reload


class WhenReady(Setting):
    name = "when_ready"
    section = SECTION
    validator = validate_callable(1)
    desc = """\
        Called in the master when it listens, before the first worker: when_ready(server).
        """

    @staticmethod
    def when_ready(server: Any) -> None: ...

    default = when_ready


class Prefork(Setting):
    name = "pre_fork"
    section = SECTION
    validator = validate_callable(2)
    desc = """\
        Called in the master before each worker is forked: pre_fork(server, worker).
        """

    @staticmethod
    def pre_fork(server: Any, worker: Any) -> None: ...

    default = pre_fork


class Postfork(Setting):
    name = "post_fork"
    section = SECTION
    validator = validate_callable(2)
    desc = """\
        Called in a worker right after the fork: post_fork(server, worker).

        Privileges are not dropped and the application is not loaded yet.
        """

    @staticmethod
    def post_fork(server: Any, worker: Any) -> None: ...

    default = post_fork


class PostWorkerInit(Setting):
    name = "post_worker_init"
    section = SECTION
    validator = validate_callable(1)
    desc = """\
        Called in a worker that has loaded the application: post_worker_init(worker).
        """

    @staticmethod
    def post_worker_init(worker: Any) -> None: ...

    default = post_worker_init


class WorkerInt(Setting):
    name = "worker_int"
    section = SECTION
    validator = validate_callable(1)
    desc = """\
        Called in a worker that got SIGINT or SIGQUIT: worker_int(worker).
        """

    @staticmethod
    def worker_int(worker: Any) -> None: ...

    default = worker_int


class WorkerAbort(Setting):
    name = "worker_abort"
    section = SECTION
    validator = validate_callable(1)
    desc = """\
        Called in a worker that got SIGABRT, as after a timeout: worker_abort(worker).
        """

    @staticmethod
    def worker_abort(worker: Any) -> None: ...

    default = worker_abort


class PreExec(Setting):
    name = "pre_exec"
    section = SECTION
    validator = validate_callable(1)
    desc = """\
        Called before the new master is executed in an upgrade by SIGUSR2: pre_exec(server).

        It runs in the forked child that becomes the new master.
        """

    @staticmethod
    def pre_exec(server: Any) -> None: ...

    default = pre_exec


class PreRequest(Setting):
    name = "pre_request"
    section = SECTION
    validator = validate_callable(2)
    desc = """\
        Called in a worker before each request: pre_request(worker, req).

        The default writes the method and the path to the error log at level debug.
        """

    @staticmethod
    def pre_request(worker: Any, req: Any) -> None:
        worker.log.debug("%s %s", req.method, req.path)

    default = pre_request


class PostRequest(Setting):
    name = "post_request"
    section = SECTION
    validator = validate_post_request
    desc = """\
        Called in a worker after each request: post_request(worker, req, environ, resp).

        A function may take only the first two or three of these. environ can be empty and resp None
        if the request failed early.
        """

    @staticmethod
    def post_request(worker: Any, req: Any, environ: Any, resp: Any) -> None: ...

    default = post_request


class ChildExit(Setting):
    name = "child_exit"
    section = SECTION
    validator = validate_callable(2)
    desc = """\
        Called in the master when a worker has exited: child_exit(server, worker).
        """

    @staticmethod
    def child_exit(server: Any, worker: Any) -> None: ...

    default = child_exit


class WorkerExit(Setting):
    name = "worker_exit"
    section = SECTION
    validator = validate_callable(2)
    desc = """\
        Called in a worker that is about to exit: worker_exit(server, worker).
        """

    @staticmethod
    def worker_exit(server: Any, worker: Any) -> None: ...

    default = worker_exit


class NumWorkersChanged(Setting):
    name = "nworkers_changed"
    section = SECTION
    validator = validate_callable(3)
    desc = """\
        Called in the master when the number of workers is set: nworkers_changed(server, new, old).

        old is None the first time.
        """

    @staticmethod
    def nworkers_changed(server: Any, new_value: Any, old_value: Any) -> None: ...

    default = nworkers_changed


class OnExit(Setting):
    name = "on_exit"
    section = SECTION
    validator = validate_callable(1)
    desc = """\
        Called in the master as its last act: on_exit(server).
        """

    @staticmethod
    def on_exit(server: Any) -> None: ...

    default = on_exit


class NewSSLContext(Setting):
    name = "ssl_context"
    section = SECTION
    validator = validate_callable(2)
    desc = """\
        Makes the TLS context of a worker: ssl_context(config, default_ssl_context_factory).

        Called when a worker starts, and again when certfile or keyfile has changed on disk. The
        factory takes no arguments and returns what the settings of section SSL say; change that or
        return an ssl.SSLContext of your own.
        """

    @staticmethod
    def ssl_context(config: Any, default_ssl_context_factory: Any) -> Any:
        return default_ssl_context_factory()

    default = ssl_context
