"""How the master looks after its workers: silence, death, orphans, strangers, and quiet nights."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
from harness import differs, is_running, processes, wait_for
from http_client import request

TINY = ("plain:app", "-k", "tiny_worker.TinyWorker")


def ask(server, what=b"pid"):
    """What the tiny worker answers; b"" if it was ended before."""
    with socket.create_connection(server.address, timeout=30) as client:
        client.sendall(what)
        try:
            return client.recv(100)
        except ConnectionError:
            return b""


@pytest.mark.parametrize("what", ["sleep", "spin"])
def test_a_silent_worker_is_ended_with_all_that_is_known(start_server, what):
    server = start_server(
        *TINY,
        "--timeout",
        "3",
        config="""
def worker_abort(worker):
    worker.log.info("hook worker_abort")
""",
    )
    (pid,) = server.worker_pids()
    assert ask(server, what.encode()) == b""
    server.wait_log(rf"\[CRITICAL\] WORKER TIMEOUT \(pid:{pid}\) Running: '{what}' for \d+\.\d s")
    log = server.log_text()
    assert re.search(r'tiny_worker\.py", line \d+ in serve', log)  # the stack
    assert "hook worker_abort" in log
    server.wait_log(rf"Worker \(pid:{pid}\) exited with code 1\.")
    server.wait_workers(1, but_not=[pid])
    assert ask(server) != b""


STUCK = """
import ctypes, os, signal
def app(environ, start_response):
    signal.signal(signal.SIGABRT, signal.SIG_IGN) if environ["PATH_INFO"] == "/deaf" else None
    mutex = ctypes.create_string_buffer(128)
    for _ in range(2):  # the second time waits for ever, in C, and the GIL is not given up
        ctypes.PyDLL(None).pthread_mutex_lock(mutex)
"""


@pytest.mark.parametrize("path", ["/stuck", "/deaf"])
def test_a_worker_stuck_in_c_is_killed_and_nobody_speaks_of_memory(start_server, path):
    server = start_server("stuck:app", "--timeout", "3", files={"stuck.py": STUCK})
    (pid,) = server.worker_pids()
    with server.connect() as client:
        client.send(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        server.wait_log(rf"WORKER TIMEOUT \(pid:{pid}\) Running: 'GET {path} HTTP/1.1'")
        server.wait_log(rf"Worker \(pid:{pid}\) was sent SIGKILL! By the master: it was silent\.")
    assert "out of memory" not in server.log_text()
    if path == "/stuck":  # written from C, so not even the GIL was needed
        assert re.search(r'stuck\.py", line \d+ in app', server.log_text())
    server.wait_workers(1, but_not=[pid])


def test_the_stacks_go_to_the_error_log(start_server):
    server = start_server(*TINY, "--timeout", "3", errorlog="error.log")
    error_log = server.directory / "error.log"
    error_log.rename(server.directory / "old.log")
    server.signal(signal.SIGUSR1)  # also after it was reopened
    wait_for(error_log.exists, "the new log file")
    (pid,) = server.worker_pids()
    wait_for(lambda: str(error_log) in open_files(pid), "the worker's new log file")
    ask(server, b"sleep")
    wait_for(lambda: "tiny_worker.py" in error_log.read_text(), "the stack")
    assert "tiny_worker.py" not in (server.directory / "old.log").read_text()


def open_files(pid):
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed by now
            found.append(os.readlink(entry))
    return found


def test_timeout_0_means_for_ever(start_server):
    code = """
import time
def app(environ, start_response):
    time.sleep(2.5)
    start_response("200 OK", [("Content-Length", "3")])
    return [b"ok\\n"]
"""
    server = start_server("slow:app", "--timeout", "0", files={"slow.py": code})
    assert request(server.address).text == "ok\n"
    assert "WORKER TIMEOUT" not in server.log_text()


def test_a_slow_boot_is_not_a_silent_worker(start_server):
    code = "import time; time.sleep(3); from plain import app"
    server = start_server("slow:app", "--timeout", "1", files={"slow.py": code})
    assert request(server.address).status == 200
    assert "WORKER TIMEOUT" not in server.log_text()


@differs("own-settings")
def test_boot_timeout(start_server):
    code = """import os, time
while not os.path.exists("repaired"): time.sleep(0.1)
from plain import app
"""
    server = start_server("hangs:app", "--boot-timeout", "1", files={"hangs.py": code}, wait=False)
    server.wait_log(r"WORKER TIMEOUT \(pid:\d+\) It did not get ready within boot_timeout \(1 s\)")
    server.wait_log(r'hangs\.py", line 2')  # the stack; of a later one, if need be
    (server.directory / "repaired").touch()
    server.wait_ready()
    assert request(server.address).status == 200


@pytest.mark.parametrize("worker", ["tiny_worker.TinyWorker", "sync"])
def test_orphans_leave(start_server, worker):
    server = start_server("plain:app", "-k", worker, "--timeout", "2", workers=2)
    server.signal(signal.SIGKILL)
    server.wait_exit()
    server.wait_gone()
    assert len(re.findall("Worker exiting", server.log_text())) == 2


def test_strangers_are_reaped(start_server):
    """As process 1 of a container the master inherits children that it never had."""
    adopt = """
import ctypes, os, sys
assert ctypes.CDLL(None).prctl(36, 1) == 0  # PR_SET_CHILD_SUBREAPER, kept over exec
os.execv(sys.argv[1], sys.argv[1:])
"""
    code = """
import os, subprocess
def app(environ, start_response):
    middle = os.fork()
    if middle == 0:
        child = subprocess.Popen(["sleep", "0"])  # kept: where it goes a dead child is reaped
        print("stranger", child.pid, flush=True)
        os._exit(0)
    os.waitpid(middle, 0)
    start_response("200 OK", [("Content-Length", "0")])
    return []
"""
    server = start_server(
        "parent:app",
        "--log-level",
        "debug",
        files={"parent.py": code},
        prefix=[sys.executable, "-c", adopt],
    )
    request(server.address)
    (pid,) = server.wait_log(r"stranger (\d+)")
    server.wait_log(rf"Reaped unknown child process \(pid:{pid}, status:0\)")
    assert int(pid) not in processes()
    assert request(server.address).status == 200


def switches(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.MULTILINE).group(1))


def test_idle_processes_wake_at_most_once_a_second(start_server):
    server = start_server(workers=4)
    pids = [server.pid, *server.worker_pids()]
    server.wait_log("Booting worker", count=4)
    start = time.monotonic()
    before = {pid: switches(pid) for pid in pids}
    time.sleep(4)
    woken = {pid: switches(pid) - before[pid] for pid in pids}
    allowed = time.monotonic() - start + 2  # one in flight at each end
    assert max(woken.values()) <= allowed, woken


def test_no_file_is_touched_for_a_heartbeat(start_server):
    server = start_server("plain:app", "--worker-tmp-dir", "/no/such/folder")
    (pid,) = server.worker_pids()
    assert not [name for name in open_files(pid) if "wgunicorn" in name or "(deleted)" in name]
    assert request(server.address).status == 200


def test_a_worker_that_somebody_stops_is_replaced(start_server):
    server = start_server("plain:app", "--timeout", "4", workers=2)
    frozen, other = server.worker_pids()
    server.signal(signal.SIGSTOP, frozen)
    server.wait_log(rf"WORKER TIMEOUT \(pid:{frozen}\) Silent for")
    pids = server.wait_workers(2, but_not=[frozen])
    assert other in pids
    assert not is_running(frozen)


def test_hooks_see_the_server_and_its_workers(start_server):
    config = """
def post_request(worker, req): pass
def child_exit(server, worker):
    server.log.info("left: %s of %s, dead: %s", len(server.WORKERS), server.num_workers, worker.pid)
def when_ready(server):
    server.log.info("%s %s %s", server.pid, server.address, server.proc_name)
"""
    server = start_server(workers=2, config=config)
    server.wait_log(rf"{server.pid} \[\('127.0.0.1', 0\)\] plain:app")
    victim = server.worker_pids()[0]
    server.signal(signal.SIGKILL, victim)
    server.wait_log(f"left: 1 of 2, dead: {victim}")


def test_max_requests_brings_new_workers_and_loses_nothing(start_server):
    server = start_server("plain:app", "--max-requests", "5", workers=2)
    pids = set()
    for _ in range(40):
        response = request(server.address)
        assert response.status == 200
        pids.add(response.text.split()[-1])
    assert len(pids) >= 4
    assert "[ERROR]" not in server.log_text()
