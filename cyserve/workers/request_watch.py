"""The request watch: ends requests that run longer than `request_timeout` allows.

`Cycle.run` calls `run` for each request, in any number of threads; a thread of the watch's own
looks for what is overdue, answers 504 and interrupts the application. Off, none of it exists.

A request ends for one of two: whoever takes its entry out of `running` (one atomic step) owns the
end. If that is the watch, the request's thread waits in `_end` until the watch is done with it
and then takes back an interruption that has not come through: none can hit what it runs next.
"""

from __future__ import annotations

import copy
import os
import threading
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from math import inf
from types import FrameType
from typing import Any

from cyserve.config.validators import validate_seconds
from cyserve.http.overdue import STATUS, RequestOverdue, Seizure
from cyserve.http.refusal import access_function
from cyserve.http.response import Response
from cyserve.workers.interrupts import Interrupter

GRACE = 3.0  # seconds for an interrupted application to come to its end
LEAVE_MARGIN = 1.0  # seconds beyond graceful_timeout for a draining worker to leave by itself


class Watched:
    """One request that is running."""

    __slots__ = (
        "acting",
        "connection",
        "due",
        "ended",
        "environ",
        "line",
        "overdue",
        "resp",
        "runner",
        "seizure",
        "started",
        "watch",
    )

    def __init__(self, watch: RequestWatch, resp: Response, environ: dict[str, Any]) -> None:
        self.watch = watch
        self.resp: Response | None = resp
        self.environ: dict[str, Any] | None = environ
        self.connection = resp.req.connection
        self.runner = watch.interrupter.current()
        self.started = watch.clock()
        self.due = self.started + watch.limit
        self.overdue = self.ended = False
        self.line = ""
        # Set when the watch acts on it; locked while it does.
        self.acting: threading.Lock | None = None
        self.seizure: Seizure | None = None

    def set_timeout(self, seconds: float) -> None:
        """`environ["cyserve.set_timeout"]`: that many seconds from now; 0 is no limit.

        Raises TypeError or ValueError for what is no number of seconds. Once the request is
        overdue it does nothing.
        """
        seconds = validate_seconds(seconds)
        self.due = self.watch.clock() + seconds if seconds else inf
        self.watch.look_before(self.due)


class RequestWatch:
    """Watches over the requests of one worker.

    worker: a `workers.base.Worker` whose application is loaded; interrupter: how its requests are
    interrupted; clock: seconds that never go back.
    """

    def __init__(
        self, worker: Any, interrupter: Interrupter, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.worker = worker
        self.log = worker.log
        self.access = access_function(worker.log)
        self.limit: float = worker.cfg.request_timeout
        self.graceful_timeout: float = worker.cfg.graceful_timeout
        self.interrupter = interrupter
        self.clock = clock
        self.running: dict[Watched, bool] = {}
        self.stuck: dict[Watched, float] = {}  # interrupted -> when the patience is over
        self.leave_at = inf  # the process ends here, whatever still runs in it
        self.next_look = inf
        self.wake = threading.Event()

    def start(self) -> RequestWatch:
        """Begin to look; returns itself."""
        threading.Thread(target=self._keep_looking, name="request-watch", daemon=True).start()
        return self

    # -- the request's side --

    def run(
        self, respond: Callable[[Response, dict[str, Any]], None], resp: Response, environ: Any
    ) -> None:
        """Call respond(resp, environ) under watch.

        Raises RequestOverdue if its time ran out, however it ended: then the request has been
        logged and answered, and its connection only wants to be closed.
        """
        entry = Watched(self, resp, environ)
        environ["cyserve.set_timeout"] = entry.set_timeout
        try:
            try:
                self.running[entry] = True
                respond(resp, environ)
            finally:
                self._end(entry)
        except BaseException as exc:
            leaving = self.worker.leaving and not isinstance(exc, Exception | RequestOverdue)
            if leaving or not entry.overdue:
                raise
        finally:
            self._end(entry)  # the interruption, which comes once, may have hit the other call
        if entry.overdue:
            raise RequestOverdue

    def _end(self, entry: Watched) -> None:
        """The request is over; from here on no interruption for it can come. Idempotent."""
        if not self.running.pop(entry, False) and not entry.ended and entry.acting is not None:
            with entry.acting:  # wait until the watch is done with it
                pass
            self.interrupter.withdraw(entry.runner)
            self.stuck.pop(entry, None)
            if entry.seizure is not None:
                entry.seizure.give_back()
        entry.ended = True
        entry.resp = entry.environ = None  # which has `set_timeout` in it: no cycle stays

    def look_before(self, due: float) -> None:
        """Make sure that the watch looks at that time at the latest."""
        if due < self.next_look:
            self.wake.set()

    # -- the watch's side --

    def _keep_looking(self) -> None:
        while True:
            try:
                wait = self.look()
            except Exception:
                self.log.exception("Error in the request watch")
                wait = 1.0
            self.wake.wait(wait)
            self.wake.clear()

    def look(self) -> float:
        """Act on what is due; returns the seconds until the next look.

        A request that begins later has the whole limit before it, so nobody has to call the watch
        for it, except `set_timeout`.
        """
        self.next_look = inf
        now = self.clock()
        for entry in list(self.running):
            if entry.due <= now:
                self._act(entry, now)
        for entry, patience in self.stuck.copy().items():
            if patience <= now:
                self._give_up(entry, now)
        if self.leave_at <= now:
            self._leave()
        dues = [entry.due for entry in list(self.running)]
        dues += list(self.stuck.values())
        self.next_look = min(now + self.limit, self.leave_at, *dues)
        return max(0.0, self.next_look - self.clock())

    def _act(self, entry: Watched, now: float) -> None:
        """Take the connection away from an overdue request and interrupt it."""
        acting = threading.Lock()
        resp, environ = entry.resp, entry.environ
        with acting:
            entry.acting = acting
            if not self.running.pop(entry, False):
                return  # it has just ended
            assert resp is not None
            assert environ is not None
            entry.overdue = True
            entry.line = resp.req.head.request_line().decode("latin-1")
            calls = _calls(self.interrupter.frame(entry.runner))
            environ = environ.copy()
            self.worker.unwatch(resp.req.connection)
            entry.seizure = seizure = Seizure(resp, parallel=self.interrupter.parallel)
            seizure.take()
            answer = copy.copy(resp)  # the application may go on with the other
            self.stuck[entry] = now + GRACE
            self.interrupter.interrupt(entry.runner)
        # The request may end now: what follows may take its time.
        if not seizure.begun:
            answer.status, answer.head, answer.sent = STATUS, None, 0
        self.log.error(
            "REQUEST TIMEOUT (pid:%s, %s) Running: %r for %.1f s. %s\n%s",
            self.worker.pid,
            self.interrupter.describe(entry.runner),
            entry.line,
            now - entry.started,
            _fate(seizure),
            "".join(traceback.StackSummary.from_list(calls).format()).rstrip(),
        )
        if self.access is not None:
            try:
                self.access(answer, answer.req, environ, timedelta(seconds=now - entry.started))
            except Exception:  # a logger of the user's must not end the watch
                self.log.exception("Exception while logging access")

    def _give_up(self, entry: Watched, now: float) -> None:
        """The interruption did not help: the worker is of no use any more."""
        if self.stuck.pop(entry, None) is None:
            return  # it has just ended
        self.log.error(
            "Request %r goes on after its timeout (pid:%s): the worker finishes what else it has "
            "begun and is replaced.",
            entry.line,
            self.worker.pid,
        )
        if entry.seizure is not None and entry.seizure.pending:
            entry.seizure.cut()
        self.worker.lose(entry.connection)
        alone = self.interrupter.alone(entry.runner)
        wait = 0.0 if alone else self.graceful_timeout + LEAVE_MARGIN
        self.leave_at = min(self.leave_at, now + wait)
        self.worker.alive = False
        if self.worker.PIPE:
            try:
                os.write(self.worker.PIPE[1], b".")  # its loop need not wait for the next tick
            except BlockingIOError:
                pass  # it is awake

    def _leave(self) -> None:
        """End the process without those that would wait for the stuck thread."""
        self.log.error("Worker exiting at once (pid: %s)", self.worker.pid)
        os._exit(1)


def _fate(seizure: Seizure) -> str:
    if seizure.answered:
        return "The client got 504."
    if seizure.pending:
        return "The client gets 504 when the application lets go."
    return "The client's connection was cut."


def _calls(frame: FrameType | None) -> list[tuple[str, int, str, None]]:
    """The calls from the watch to a frame: (file, line number, function, None).

    No source lines yet: reading them takes long while other threads compute.
    """
    calls: list[tuple[str, int, str, None]] = []
    while frame is not None and frame.f_code is not RequestWatch.run.__code__:
        calls.insert(0, (frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name, None))
        frame = frame.f_back
    return calls
