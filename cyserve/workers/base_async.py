"""What workers share that run each connection in a greenlet of its own.

`handle` takes a connection from accept to close: it waits where the connection says so and runs a
request where it says so, and decides nothing else. How a greenlet waits is the subclass's business.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from cyserve.http.connection import RUN, Connection
from cyserve.http.context import Context
from cyserve.http.cycle import Cycle, known
from cyserve.http.environ import Endpoint
from cyserve.http.request import Request
from cyserve.workers.base import Worker
from cyserve.workers.connection_loop import RUNNING, WAITING
from cyserve.workers.transports import transport_maker

PIPELINE_BATCH = 16  # requests served from one connection's buffer before the others' turn


class _AlreadyHandled:
    """An application returns it when it has answered on the socket itself."""

    def __iter__(self) -> Iterator[bytes]:
        raise StopIteration  # which the request cycle takes for just that


ALREADY_HANDLED = _AlreadyHandled()


class AsyncWorker(Worker):
    """Serves connections in greenlets; subclasses accept them and call `handle` for each."""

    def prepare(self) -> None:
        """Get ready to serve; called when the application is loaded."""
        self.context = Context(self.cfg, self.log, self.own_handle_error())
        self.endpoints = {
            listener: Endpoint(self.cfg, listener, multithread=True) for listener in self.sockets
        }
        if type(self).is_already_handled is not AsyncWorker.is_already_handled:
            self.wsgi = self._asking(self.wsgi)
        self.cycle = Cycle(self, keep_alive=self.cfg.keepalive > 0)
        self.connections: dict[Connection, Any] = {}  # and what each waits with
        self.make_transport = transport_maker(self, None)  # each gets a waiter of its own

    def timeout_ctx(self) -> Any:
        """A context manager that leaves its block after `keepalive` seconds; for subclasses."""
        raise NotImplementedError()

    def is_already_handled(self, respiter: Any) -> bool:
        """Whether what the application returned says that it has answered on the socket itself.

        A subclass may override it, to know the marks of other servers.
        """
        return respiter is ALREADY_HANDLED

    def new_wait(self, fd: int) -> Any:
        """What the current greenlet waits with for this descriptor (see `hub.HubWait`)."""
        raise NotImplementedError()

    def breathe(self) -> None:
        """Let other greenlets run."""
        raise NotImplementedError()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve a connection to its end. client: its socket, in non-blocking mode."""
        try:
            transport = self.make_transport(client)
        except OSError:  # it has gone already
            client.close()
            return
        transport.waiter = wait = self.new_wait(transport.fd)
        if hasattr(transport.sock, "transport"):  # it wants to know whom to tell when it is closed
            transport.sock.transport = transport
        connection = Connection(transport, addr, self.endpoints[listener], self.context)
        self.connections[connection] = wait
        try:
            self._serve(connection, wait)
        except Exception:
            self.log.exception("Error handling connection")
        finally:
            del self.connections[connection]
            wait.close()
            connection.close()

    def _serve(self, connection: Connection, wait: Any) -> None:
        clock = time.monotonic
        address = connection.endpoint.address
        client = connection.transport.sock
        runs = 0
        step = connection.start(clock())
        while step:
            if step == RUN:
                runs += 1
                if runs == PIPELINE_BATCH:
                    runs = 0
                    self.breathe()
                connection.place = RUNNING
                req = connection.request
                try:
                    self.handle_request(address, req, client, connection.address)
                except Exception as exc:
                    if not known(req, exc):  # from a subclass, or who has wrapped it
                        self.log.exception("Exception while handling a request")
                        connection.fail(exc)
                if connection.request is not None:
                    connection.conclude()  # a subclass has answered by itself
                connection.place = WAITING
                step = connection.answered(clock())
            else:
                runs = 0
                if wait.until(step, connection.deadline):
                    step = connection.proceed(clock())
                else:
                    step = connection.expire(clock())

    def handle_request(self, listener_name: Any, req: Request | None, sock: Any, addr: Any) -> None:
        """Run one request; the place that instrumentation wraps."""
        assert req is not None
        self.cycle.serve(req)

    def _asking(self, application: Any) -> Any:
        """The application, with what it returns shown to `is_already_handled` first."""

        def asked(environ: dict[str, Any], start_response: Any) -> Any:
            respiter = application(environ, start_response)
            return ALREADY_HANDLED if self.is_already_handled(respiter) else respiter

        return asked
