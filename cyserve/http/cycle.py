"""The request cycle: hooks, environ, application, response, access log; the one place for it.

A worker makes one `Cycle` and calls `run` for each complete request. Whatever goes wrong ends here:
logged once, answered where an answer is still possible.
"""

import contextlib
import errno
import itertools
import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from cyserve._errors import ConfigurationProblem, Refusal
from cyserve.http import wsgi
from cyserve.http.errors import response_for, status_for
from cyserve.http.overdue import RequestOverdue
from cyserve.http.refusal import access_function
from cyserve.http.request import Request
from cyserve.http.response import FileWrapper, Response, is_patched
from cyserve.http.transport import peer_name

_GONE = {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF}


class Cycle:
    """Everything a request needs, looked up once per worker.

    worker: a `workers.base.Worker` whose application is loaded; keep_alive: whether connections
    may carry more than one request.
    """

    def __init__(self, worker: Any, *, keep_alive: bool) -> None:
        cfg = worker.cfg
        self.worker = worker
        self.cfg = cfg
        self.log = worker.log
        self.begin: Callable[[bytes, int], None] = worker.slot.begin
        self.end: Callable[[int], None] = worker.slot.end
        self.application: Callable[..., Any] = worker.wsgi
        self.keep_alive = keep_alive
        self.response = wsgi.Response
        #: Users have replaced steps of the response, or how it is made: ask them at each step.
        self.patched = is_patched(self.response) or wsgi.is_create_patched()
        self.max_requests: int = worker.max_requests
        self.send_timeout: float = cfg.send_timeout or float("inf")
        self.count = itertools.count(worker.nr + 1)
        self.pre_request = _hook(cfg, "pre_request")
        error_log = getattr(self.log, "error_log", None)  # a logger of the user's may have none
        if self.pre_request is None and (
            error_log is None or error_log.isEnabledFor(logging.DEBUG)
        ):
            self.pre_request = cfg.pre_request  # the default one, which only logs
        self.post_request = _hook(cfg, "post_request")
        self.access = access_function(self.log)
        #: Writes most lines by itself, for less than `access` would take.
        ours = hasattr(type(self.log), "direct_access")
        self.direct = self.log.direct_access if ours else None
        self.watch = worker.watch  # for `request_timeout`; None without

    def serve(self, req: Request) -> None:
        """`run`, for a `handle_request` that others wrap: they learn of what went wrong.

        Raises what the application has raised, and keeps it as `req.failure`: all that has to be
        done about it has been done.
        """
        self.run(req)
        if req.failure is not None:
            raise req.failure

    def run(self, req: Request) -> None:
        """Serve one request; its connection then knows whether it goes on (`keep`)."""
        connection = req.connection
        lane = connection.lane
        self.begin(req.line(), lane)
        resp = None
        environ: dict[str, Any] = {}
        logged = self.access is None
        started = time.monotonic() if self.access is not None else 0.0
        try:
            if self.pre_request is not None:
                self.pre_request(self.worker, req)
            if self.patched:
                resp, environ = self._create(req)
            else:
                resp = self.response(req, connection.transport.sock, self.cfg)
                endpoint = connection.endpoint
                environ = endpoint.make_environ(req, resp.early_hints)
            resp.send_timeout = self.send_timeout
            worker = self.worker
            worker.nr = number = next(self.count)
            alive = worker.alive
            if alive and number >= self.max_requests:
                self.log.info("Autorestarting worker after current request.")
                worker.alive = alive = False
            if not (self.keep_alive and alive):
                resp.must_close = True
            if self.watch is None:
                self._respond(resp, environ)
            else:
                self.watch.run(self._respond, resp, environ)
            connection.keep = not resp.closes
        except RequestOverdue:
            connection.keep = False
            logged = True  # by the watch, as soon as the time was over
        except BaseException as exc:
            connection.keep = False
            if isinstance(exc, Exception):
                req.failure = exc
            self._failed(req, resp, exc)
        finally:
            if not logged and resp is not None and resp.status is not None:
                self._log_access(resp, req, environ, time.monotonic() - started)
            if self.post_request is not None:
                self._post_request(req, environ, resp)
            connection.finish_request()
            self.end(lane)

    def _respond(self, resp: Response, environ: dict[str, Any]) -> None:
        items = self.application(environ, resp.start_response)
        if self.patched:
            self._respond_by_steps(resp, items)
            return
        if type(items) is list and len(items) == 1:
            if not resp.write_usual(items[0]):
                resp.write_whole(items[0])
            return  # a list has nothing to close
        try:
            if isinstance(items, FileWrapper):
                resp.write_file(items)
                resp.close()
            else:
                resp.write_iterable(items)
                resp.close()
        finally:
            if hasattr(items, "close"):
                items.close()

    def _create(self, req: Request) -> tuple[Response, dict[str, Any]]:
        """Response and environ as users may have changed how they are made."""
        connection = req.connection
        server = connection.endpoint.address
        made: tuple[Response, dict[str, Any]] = wsgi.create(
            req, connection.transport.sock, connection.address, server, self.cfg, self.response
        )
        made[0].patched = True
        return made

    def _respond_by_steps(self, resp: Response, items: Any) -> None:
        """The long way to send an answer: each step by the method that may be somebody else's."""
        try:
            if isinstance(items, FileWrapper):
                resp.write_file(items)
            else:
                for item in items:
                    resp.write(item)
            resp.close()
        finally:
            if hasattr(items, "close"):
                items.close()

    def _failed(self, req: Request, resp: Response | None, exc: BaseException) -> None:
        """Log what went wrong, and answer if nothing has been sent yet."""
        transport = req.connection.transport
        worker = self.worker
        if transport.broken and isinstance(exc, OSError):
            if isinstance(exc, TimeoutError) or exc.errno in _GONE or exc.errno is None:
                self.log.debug("Ignored premature client disconnection. %s", exc)
            else:
                self.log.exception("Socket error processing request.")
        elif isinstance(exc, StopIteration):
            # How applications that took the socket over (WebSocket) say that it is all done.
            self.log.debug("Closing connection. ")
            transport.discard()
        elif resp is not None and resp.headers_sent:
            if not resp.finished:  # what is queued still goes out, but not the end of the body
                transport.waiting = len(transport.output)
            self.log.exception("Error handling request")
        else:
            if resp is not None:
                resp.status = status_for(exc)
            worker.handle_error(req, transport.sock, req.connection.address, exc)
        if not isinstance(exc, Exception) and worker.leaving:
            with contextlib.suppress(OSError):
                transport.flush()  # the loop will not come round to it
            raise exc  # a signal handler asked the worker to leave

    def _log_access(self, resp: Response, req: Request, environ: Any, seconds: float) -> None:
        try:
            if not environ:  # it could not be made
                environ = req.head.fill_environ(req.connection.template)
            if self.direct is None or not self.direct.write(resp, req, environ, seconds):
                self.access(resp, req, environ, timedelta(seconds=seconds))
        except Exception:  # a logger of the user's must not end the worker
            self.log.exception("Exception while logging access")

    def _post_request(self, req: Request, environ: dict[str, Any], resp: Any) -> None:
        try:
            self.post_request(self.worker, req, environ, resp)  # type: ignore[misc]
        except Exception:
            self.log.exception("Exception in post_request hook")


def known(req: Request | None, exc: BaseException) -> bool:
    """Whether this is what `serve` has raised, so that nothing is left to be done about it."""
    if req is None or exc is not req.failure:
        return False
    req.failure = None  # it refers to us by its traceback
    return True


def answer_failure(log: Any, req: Request, exc: BaseException) -> None:
    """Log why a request failed before anything was sent, and answer it."""
    # A mount point may be the client's word, and the client is told all there is to say.
    client_fault = isinstance(exc, Refusal) and exc.status < 500
    if client_fault or isinstance(exc, ConfigurationProblem):
        log.warning("Invalid request from ip=%s: %s", peer_name(req.connection.address), exc)
    else:
        log.exception("Error handling request %s %s", req.method, req.uri)
    transport = req.connection.transport
    transport.discard()
    transport.output.write(response_for(exc))
    transport.waiting = len(transport.output)


def _hook(cfg: Any, name: str) -> Callable[..., Any] | None:
    """The user's hook, or None while it is the do-nothing default."""
    hook: Callable[..., Any] = getattr(cfg, name)
    return None if hook is cfg.settings[name].default else hook
