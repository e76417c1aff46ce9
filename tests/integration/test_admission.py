"""Who gets a connection: never a worker that cannot serve it while another one can."""

import json
import threading

import pytest
from harness import wait_for
from http_client import request
from worker_kinds import WORKERS


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "at once"])
def test_nobody_waits_for_a_busy_worker(start_server, kernel, worker_kind, tmp_path, together):
    """Two workers, one of them busy: 40 quick requests are all answered by the other one."""
    args = [*WORKERS[worker_kind], *(("--threads=1",) if worker_kind == "gthread" else ())]
    server = start_server("requests_app:app", *args, workers=2, kernel=kernel)
    release = tmp_path / "release"
    busy = []
    thread = threading.Thread(
        target=lambda: busy.append(request(server.address, f"/busy?release={release}"))
    )
    thread.start()
    try:
        wait_for((tmp_path / "release.begun").exists, "the busy request to begin")
        answers = []

        def ask():
            answers.append(json.loads(server.request("/worker").body))

        quick = [threading.Thread(target=ask) for _ in range(40)]
        for one in quick:
            one.start()
            if not together:
                one.join()
        for one in quick:
            one.join()
        assert not busy
    finally:
        release.touch()
        thread.join()
    slow = json.loads(busy[0].body)
    assert answers == [({*server.worker_pids()} - {slow}).pop()] * 40
