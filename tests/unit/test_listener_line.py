"""The loop's place among those that wait for a listener."""

from types import SimpleNamespace

import pytest
from loop_helpers import GET, Worker, hello, read_all

from cyserve.http.cycle import Cycle
from cyserve.http.transport import PollWaiter
from cyserve.workers.connection_loop import ConnectionLoop


@pytest.fixture
def worker(kernel):
    made = Worker(hello)
    yield made
    made.close()


def test_goes_to_the_end_of_the_line_when_it_waits_and_not_before(worker):
    loop = ConnectionLoop(worker, PollWaiter(worker.notify))
    listener = worker.sockets[0].fileno()
    requeued = []
    poller = loop.poller
    loop.poller = SimpleNamespace(
        requeue_listener=requeued.append,
        register_listener=poller.register_listener,
        unregister=poller.unregister,
        take=poller.take,
        wait=lambda seconds: poller.wait(0.0),
        close=poller.close,
    )
    cycle = Cycle(worker, keep_alive=False)
    loop.resume_accepting()
    loop.due = float("inf")
    client = worker.client(GET)
    for _ in range(2):  # a client that waits already is the next, of whatever line
        loop.arrived(poller.wait(10))
        connection = loop.next()
        cycle.run(connection.request)
        loop.answered(connection)
        assert read_all(client).endswith(b"hello")
        client = worker.client(GET)
    assert requeued == []
    connection = loop.next()
    cycle.run(connection.request)
    loop.answered(connection)
    assert loop.next() is None
    loop.wait(0.0)
    assert requeued == [listener]
    loop.wait(0.0)
    assert requeued == [listener]
    loop.close()
