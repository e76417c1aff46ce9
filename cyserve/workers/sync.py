"""The sync worker: one request at a time, one request per connection.

Simple and isolating: an application runs alone in its process. Clients are gathered by the shared
connection loop, so slow ones do not hold the worker; only the application does.
"""

from __future__ import annotations

from cyserve.http.connection import Connection
from cyserve.http.cycle import Cycle, known
from cyserve.http.request import Request
from cyserve.http.transport import PollWaiter
from cyserve.workers.base import Worker, is_as_written
from cyserve.workers.connection_loop import TICK, ConnectionLoop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class StopWaiting(Exception):
    """gunicorn's sign to itself that the master is gone; for those that import it."""


class SyncWorker(Worker):
    """Runs the application for one connection after the other.

    Made for subclasses: `handle`, `handle_request`, and what every worker has. There is no
    `accept`, `wait`, `run_for_one` or `run_for_multiple`: the loop does what they did.
    """

    serves_tls = True

    current: Connection | None = None  # whose `handle` runs

    def interrupter(self) -> Any:
        from cyserve.workers.interrupts import ThreadInterrupter  # noqa: PLC0415 - rarely on

        return ThreadInterrupter()

    def run(self) -> None:
        self.cycle = Cycle(self, keep_alive=False)
        interval = min(TICK, self.timeout or TICK)
        self.waiter = PollWaiter(self.notify, interval, total=self.cfg.timeout or float("inf"))
        loop = ConnectionLoop(self, self.waiter)
        if not is_as_written(self.handle, _HANDLE):
            loop.run(self.serve_by_handle)
        elif not is_as_written(self.handle_request, _HANDLE_REQUEST):
            loop.run(self.serve)
        else:
            loop.run(self.serve, self.cycle)

    def serve(self, connection: Connection) -> None:
        """Run the gathered request of a connection.

        It may wait for its client for `timeout` seconds in all: where gunicorn's master would kill
        the worker for the sake of the next client, ours gives up the slow one.
        """
        self.waiter.restart()
        req = connection.request
        listener, client = connection.endpoint.listener, connection.transport.sock
        try:
            self.handle_request(listener, req, client, connection.address)
        except Exception as exc:
            if not known(req, exc):  # from a subclass, or who has wrapped it
                self.log.exception("Exception while handling a request")
                connection.fail(exc)
        if connection.request is not None:
            connection.conclude()  # a subclass has answered by itself

    def serve_by_handle(self, connection: Connection) -> None:
        """The same for a worker whose `handle` is somebody else's."""
        self.current = connection
        listener, client = connection.endpoint.listener, connection.transport.sock
        try:
            self.handle(listener, client, connection.address)
        except Exception as exc:
            self.log.exception("Exception while handling a request")
            connection.fail(exc)
        if connection.request is not None:
            connection.conclude()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Run the gathered request of a client; for subclasses and for those who wrap it.

        listener: the listener; client, addr: the client's socket and address.
        """
        assert self.current is not None
        self.serve(self.current)

    def handle_request(self, listener: Any, req: Request | None, client: Any, addr: Any) -> None:
        """Run one request; the place that instrumentation wraps."""
        assert req is not None
        self.cycle.serve(req)


_HANDLE = SyncWorker.handle
_HANDLE_REQUEST = SyncWorker.handle_request
