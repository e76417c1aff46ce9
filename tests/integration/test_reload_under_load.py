"""Nothing that a client asked is lost while workers are replaced under load.

Closed-loop clients, each on a new connection for each request, as a load balancer makes them: an
answer that is not 200, a reset, a refusal or a silent close counts as lost, and none may be.
"""

import threading
from contextlib import contextmanager
from signal import SIGHUP, SIGTERM, SIGTTIN, SIGTTOU

import pytest
from harness import differs, is_running, open_sockets, wait_for
from http_client import BrokenResponse, request, request_bytes


class Load:
    """Clients in threads until `stop`; `lost` says what went wrong."""

    def __init__(self, address, clients):
        self.address = address
        self.stop = threading.Event()
        self.answers = 0
        self.pids = set()
        self.lost = []
        self.threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def _run(self):
        while not self.stop.is_set():
            try:
                response = request(self.address, "/load")
            except (OSError, BrokenResponse) as exc:
                self.lost.append(repr(exc))
                continue
            if response.status != 200:
                self.lost.append(response.status)
            self.pids.add(int(response.text.split()[2]))
            self.answers += 1

    def wait_for_more(self, count=100):
        """Waits until that many further requests were answered."""
        goal = self.answers + count
        wait_for(lambda: self.answers >= goal, f"{count} more answers")


@contextmanager
def load_on(server, clients=8):
    load = Load(server.address, clients)
    for thread in load.threads:
        thread.start()
    try:
        load.wait_for_more()
        yield load
        load.wait_for_more()
    finally:
        load.stop.set()
        for thread in load.threads:
            thread.join()
    assert load.lost == []


def test_hup_loses_no_request(start_server):
    server = start_server(workers=3)
    with load_on(server) as load:
        for _ in range(4):
            old = server.worker_pids()
            server.signal(SIGHUP)
            new = server.wait_workers(3, but_not=old)
            load.wait_for_more(200)
        wait_for(lambda: set(new) <= load.pids, "answers of all new workers")
    assert "Traceback" not in server.log_text()


def test_fewer_and_more_workers_lose_no_request(start_server):
    server = start_server(workers=3)
    with load_on(server) as load:
        for _ in range(3):
            server.signal(SIGTTOU)
            server.wait_workers(2)
            load.wait_for_more()
            server.signal(SIGTTIN)
            server.wait_workers(3)
            load.wait_for_more()


def test_max_requests_loses_no_request(start_server):
    server = start_server("plain:app", "--max-requests", "40", workers=3)
    with load_on(server) as load:
        wait_for(lambda: len(load.pids) >= 15, "many generations of workers")
    assert "exited with code" not in server.log_text()


@differs("stop-gathers")
@pytest.mark.parametrize("number", [SIGHUP, SIGTERM])
def test_requests_that_have_begun_are_finished_by_the_leaving_worker(start_server, number):
    server = start_server("requests_app:app")
    [worker] = server.worker_pids()
    at_rest = open_sockets(worker)
    raw = request_bytes("/echo", "POST", body=b"0123456789")
    clients = [server.connect().send(raw[:place]) for place in range(5, len(raw), 5)]
    wait_for(lambda: open_sockets(worker) == at_rest + len(clients), "the worker to accept all")
    server.signal(number)
    wait_for(lambda: open_sockets(worker) < at_rest + len(clients), "it to close its listener")
    for place, client in zip(range(5, len(raw), 5), clients, strict=True):
        with client.send(raw[place:]):
            assert client.read_response().body == b"0123456789"
    wait_for(lambda: not is_running(worker), "the worker to leave")
    assert "Traceback" not in server.log_text()
