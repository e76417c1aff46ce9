"""The harness itself: a server boots, is seen, is signalled and leaves nothing behind."""

import os
import signal
import sys
from pathlib import Path

import harness
import pytest


def test_boot_request_and_stop(start_server):
    server = start_server(workers=2)
    assert len(server.worker_pids()) == 2
    response = server.request("/x")
    assert response.status == 200
    assert int(response.text.split()[2]) in server.worker_pids()
    assert server.stop() == 0
    assert server.all_pids() == []


def test_workers_are_replaced_and_seen(start_server):
    server = start_server()
    first = server.worker_pids()
    server.signal(signal.SIGKILL, first[0])
    second = server.wait_workers(1, but_not=first)
    assert second != first


def test_destroy_ends_orphans_and_daemons(tmp_path):
    # A parent that dies and leaves a child in a session of its own behind, as a daemon would.
    script = "import os,sys,time\nif os.fork(): sys.exit(0)\nos.setsid()\ntime.sleep(600)\n"
    server = harness.Server(tmp_path, None)
    server.command = [sys.executable, "-c", script]
    server.start()
    assert server.wait_exit() == 0
    harness.wait_for(server.all_pids, "the daemon")
    server.destroy()
    assert server.all_pids() == []
    assert server not in harness.LIVE


def test_unix_socket_and_two_binds(start_server, tmp_path):
    path = tmp_path / "a.sock"
    server = start_server(bind=[f"unix:{path}", "127.0.0.1:0"])
    assert server.addresses[0] == str(path)
    assert server.request("/").status == 200
    assert harness.request(server.addresses[1]).status == 200


def test_a_server_that_cannot_start_is_reported_at_once(start_server):
    with pytest.raises(AssertionError, match="exited with"):
        start_server("no_such_module:app")


def test_missing_program_skips_or_fails(monkeypatch):
    monkeypatch.delenv("CYSERVE_TEST_NO_SKIP", raising=False)
    with pytest.raises(pytest.skip.Exception):
        harness.require_program("no-such-program")
    monkeypatch.setenv("CYSERVE_TEST_NO_SKIP", "1")
    with pytest.raises(pytest.fail.Exception):
        harness.require_program("no-such-program")
    assert Path(harness.require_program("sh")).exists()
    assert os.access(harness.require_program("sh"), os.X_OK)
