"""Nothing that a client asked is lost while workers are replaced under load.

Closed-loop clients, each on a new connection for each request, as a load balancer makes them: an
answer that is not 200, a reset, a refusal or a silent close counts as lost, and none may be.
"""

import threading
from contextlib import contextmanager
from signal import SIGHUP, SIGTTIN, SIGTTOU

from harness import differs, wait_for
from http_client import BrokenResponse, request


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


@differs("resets connections that a leaving worker had accepted")
def test_hup_loses_no_request(start_server):
    server = start_server(workers=3)
    with load_on(server) as load:
        for _ in range(4):
            old = server.worker_pids()
            server.signal(SIGHUP)
            new = server.wait_workers(3, but_not=old)
            load.wait_for_more(200)
    assert set(new) <= load.pids
    assert "Traceback" not in server.log_text()


@differs("resets connections that a leaving worker had accepted")
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


@differs("resets connections that a leaving worker had accepted")
def test_max_requests_loses_no_request(start_server):
    server = start_server("plain:app", "--max-requests", "40", workers=3)
    with load_on(server) as load:
        wait_for(lambda: len(load.pids) >= 15, "many generations of workers")
    assert "exited with code" not in server.log_text()
