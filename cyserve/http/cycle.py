"""The request cycle: hooks, environ, application, response, access log; the one place for it.

A worker makes one `Cycle` and calls `run` for each complete request. Whatever goes wrong ends here:
logged once, answered where an answer is still possible.
"""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Callable
from datetime import timedelta

from cyserve import _accel
from cyserve._errors import ConfigurationProblem, Refusal
from cyserve.http import wsgi
from cyserve.http.environ import FileWrapper
from cyserve.http.errors import response_for, status_for
from cyserve.http.overdue import RequestOverdue
from cyserve.http.refusal import access_function, is_own_access
from cyserve.http.request import Request
from cyserve.http.response import Response, is_made_otherwise, is_patched
from cyserve.http.transport import peer_name
from cyserve.scoreboard import Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_clock = _accel.runtime.CLOCK

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
        self.slot: Slot = worker.slot
        self.application: Callable[..., Any] = worker.wsgi
        self.keep_alive = keep_alive
        self.response = wsgi.Response
        #: Users have replaced steps of the response, or how it is made: ask them at each step.
        self.patched = is_patched(self.response) or wsgi.is_create_patched()
        self.max_requests: int = worker.max_requests
        self.send_timeout: float = cfg.send_timeout or float("inf")
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
        #: Takes lines while others wait in it; asks a response for nothing but what it has said.
        self.tray: _accel.Tray | None = None
        if self.direct is not None and self.response is Response and not self.patched:
            self.tray = worker.tray
        self.watch = worker.watch  # for `request_timeout`; None without
        #: Requests and responses that nobody has kept are used again, unless somebody gets them to
        #: see: what he adds to one would be found on another.
        hooks = (self.pre_request, self.post_request, self.watch)
        shown = any(hook is not None for hook in hooks) or not is_own_access(self.log)
        shown = shown or self.response is not Response or is_made_otherwise()
        self.pool: _accel.Pool | None = None
        if not (shown or self.patched) and _accel.is_compiled:
            self.pool = _accel.runtime.Pool()

    def serve(self, req: Request) -> None:
        """`run`, for a `handle_request` that others wrap: they learn of what went wrong.

        Raises what the application has raised, and keeps it as `req.failure`: all that has to be
        done about it has been done.
        """
        req.lent = True  # whoever has called may look at it afterwards
        self.run(req)
        if req.failure is not None:
            raise req.failure

    def run(self, req: Request) -> None:
        """Serve one request; its connection then knows whether it goes on (`keep`)."""
        connection = req.connection
        lane = connection.lane
        slot = self.slot
        slot.mark(req.head, lane)
        resp = None
        environ: dict[str, Any] | None = None
        logged = self.access is None
        started = 0.0 if logged else _clock.monotonic()
        try:
            if self.pre_request is not None:
                self.pre_request(self.worker, req)
            if self.patched:
                resp, environ = self._create(req)
                resp.send_timeout = self.send_timeout
            else:
                resp = self._take_response(req, connection.transport.sock)
                endpoint = connection.endpoint
                hinter = resp.hinter
                environ = endpoint.make_environ(req, resp.early_hints if hinter is None else hinter)
                hinter = None
            worker = self.worker
            worker.nr += 1
            if worker.alive and worker.nr >= self.max_requests:
                self.log.info("Autorestarting worker after current request.")
                worker.alive = False
            if not (self.keep_alive and worker.alive):
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
                self._log_access(resp, req, environ, started)
            if self.post_request is not None:
                self._post_request(req, environ or {}, resp)
            connection.finish_request()
            slot.end(lane)
        environ = None  # if that was the last reference, nobody can speak to the response any more
        if self.pool is not None and resp is not None:
            self._put_away(self.pool, req, resp)

    def _take_response(self, req: Request, sock: Any) -> Response:
        resp: Response | None = None
        if self.pool is not None:
            resp = self.pool.take()
        if resp is None:
            resp = self.response(req, sock, self.cfg)
            resp.send_timeout = self.send_timeout
            if self.pool is not None:
                resp.starter, resp.hinter = resp.start_response, resp.early_hints
        else:
            resp.begin(req, sock)
        return resp

    def _put_away(self, pool: _accel.Pool, req: Request, resp: Response) -> None:
        """Keep request and response for the next, if nobody else has."""
        connection = req.connection
        context = connection.context
        if resp.reset(pool):
            if not pool.give(resp):
                resp.starter = resp.hinter = None  # they would keep it alive
            if req.failure is None and not req.lent and pool.alone(req, 1):
                req.reset()
                context.requests.give(req)

    def _respond(self, resp: Response, environ: dict[str, Any]) -> None:
        starter = resp.starter
        items = self.application(environ, resp.start_response if starter is None else starter)
        starter = None
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
            else:
                resp.write_iterable(items)
            resp.close()
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

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

    def _log_access(self, resp: Response, req: Request, environ: Any, started: float) -> None:
        try:
            if environ is None:  # it could not be made
                template = req.connection.endpoint.template_of(req.connection)
                environ = req.head.fill_environ(template)
            tray = self.tray
            if tray is not None and tray.note(resp, req, environ, resp.status, resp.sent, started):
                return
            seconds = _clock.monotonic() - started
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
