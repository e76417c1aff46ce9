"""The sync worker: one request at a time, one request per connection.

Simple and isolating: an application runs alone in its process. Clients are gathered by the shared
connection loop, so slow ones do not hold the worker; only the application does.
"""

from typing import Any

from cyserve.http.connection import Connection
from cyserve.http.cycle import Cycle, known
from cyserve.http.request import Request
from cyserve.http.transport import PollWaiter
from cyserve.workers.base import Worker
from cyserve.workers.connection_loop import TICK, ConnectionLoop


class SyncWorker(Worker):
    """Runs the application for one connection after the other."""

    serves_tls = True

    def interrupter(self) -> Any:
        from cyserve.workers.interrupts import ThreadInterrupter  # noqa: PLC0415 - rarely on

        return ThreadInterrupter()

    def run(self) -> None:
        self.cycle = Cycle(self, keep_alive=False)
        interval = min(TICK, self.timeout or TICK)
        self.waiter = PollWaiter(self.notify, interval, total=self.cfg.timeout or float("inf"))
        ConnectionLoop(self, self.waiter).run(self.serve)

    def serve(self, connection: Connection) -> None:
        """Run the gathered request of a connection.

        It may wait for its client for `timeout` seconds in all: where gunicorn's master would kill
        the worker for the sake of the next client, ours gives up the slow one.
        """
        self.waiter.restart()
        req = connection.request
        try:
            self.handle_request(
                connection.endpoint.listener, req, connection.transport.sock, connection.address
            )
        except Exception as exc:
            if not known(req, exc):  # from a subclass, or who has wrapped it
                self.log.exception("Exception while handling a request")
                connection.fail(exc)
        if connection.request is not None:
            connection.abandon()  # a subclass has answered by itself

    def handle_request(self, listener: Any, req: Request | None, client: Any, addr: Any) -> None:
        """Run one request; the place that instrumentation wraps."""
        assert req is not None
        self.cycle.serve(req)
