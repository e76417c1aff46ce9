"""Who gets a connection: never a worker that cannot serve it while another one can."""

import json
import threading

import pytest
from harness import wait_for
from http_client import request, request_bytes
from worker_kinds import WORKERS, assert_quiet, files_at_rest, open_files, unharmed

OK = request_bytes("/ok", headers=[("Connection", "close")])


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


def test_no_room_left(start_kind):
    """More clients than `worker_connections` wait outside until one of those inside has gone."""
    server = start_kind("--worker-connections=5")
    [(worker, at_rest)] = files_at_rest(server).items()
    with unharmed(server):
        inside = [server.connect().send(b"GET /ok HT") for _ in range(5)]
        wait_for(lambda: open_files(worker) == at_rest + 5, "all places to be taken")
        outside = [server.connect().send(OK) for _ in range(3)]
        assert_quiet(worker)
        assert open_files(worker) == at_rest + 5
        for client in inside:
            with client:
                assert client.send(b"TP/1.1\r\n\r\n").read_response().body == b"ok"
        for client in outside:
            with client:
                assert client.read_response().body == b"ok"
