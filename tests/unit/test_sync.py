"""The sync worker's own affairs: whoever overrides or wraps `handle_request`."""

from types import SimpleNamespace

import pytest
from http_helpers import Log, Peer

from cyserve.http.connection import CLOSE, RUN
from cyserve.workers import sync
from cyserve.workers.sync import SyncWorker

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


def serve(handle_request):
    """Run one request by a worker with that method; returns what the client got, and the log."""
    worker = SyncWorker.__new__(SyncWorker)
    worker.waiter = SimpleNamespace(restart=lambda: None)
    worker.log = Log()
    worker.handle_request = handle_request
    peer = Peer(GET)
    try:
        assert peer.connection.start(0.0) == RUN
        worker.serve(peer.connection)
        assert peer.connection.answered(0.0) == CLOSE
        return peer.received(), worker.log.lines
    finally:
        peer.close()


def test_its_failure_is_answered_and_ends_no_worker(kernel):
    def fail(listener, req, client, addr):
        raise RuntimeError("on purpose")

    wire, lines = serve(fail)
    assert wire.startswith(b"HTTP/1.1 500 ")
    assert lines == [("exception", "Exception while handling a request")]


def test_it_may_answer_by_itself(kernel):
    def answer(listener, req, client, addr):
        client.send(b"own words")

    assert serve(answer) == (b"own words", [])


def test_it_may_end_the_worker(kernel):
    def leave(listener, req, client, addr):
        raise SystemExit(0)

    with pytest.raises(SystemExit):
        serve(leave)


class Subclass(SyncWorker):
    def handle_request(self, listener, req, client, addr):
        super().handle_request(listener, req, client, addr)


class Handling(SyncWorker):
    def handle(self, listener, client, addr):
        super().handle(listener, client, addr)


@pytest.mark.parametrize(
    ("kind", "by"), [(SyncWorker, "cycle"), (Subclass, "serve"), (Handling, "serve_by_handle")]
)
def test_what_nobody_has_replaced_is_not_called(monkeypatch, kind, by):
    given = []

    class Loop:
        def __init__(self, worker, waiter):
            pass

        def run(self, serve, cycle=None):
            given.extend((serve, cycle))

    monkeypatch.setattr(sync, "ConnectionLoop", Loop)
    monkeypatch.setattr(sync, "Cycle", lambda worker, keep_alive: "cycle")
    worker = kind.__new__(kind)
    worker.timeout = 30
    worker.cfg = SimpleNamespace(timeout=30)
    worker.run()
    serve, cycle = given
    assert cycle == ("cycle" if by == "cycle" else None)
    assert by == "cycle" or serve == getattr(worker, by)
