"""Every signal that the master and its workers know, sent to real processes."""

from __future__ import annotations

import importlib.util
import os
import signal
from pathlib import Path

import pytest
from harness import differs, is_running, missing, wait_for
from http_client import request

SLOW = """
import os, time
def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        open("started", "w").close()
        while not os.path.exists("finish"):
            time.sleep(0.01)
    start_response("200 OK", [("Content-Length", "5")])
    return [b"done\\n"]
"""


def begin_slow_request(server):
    """Sends a request that runs until the file `finish` appears; returns its connection."""
    client = server.connect()
    client.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_for((server.directory / "started").exists, "the start of the slow request")
    return client


def finish_slow_request(server):
    (server.directory / "finish").touch()


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGTERM, "term"), (signal.SIGINT, "int"), (signal.SIGQUIT, "quit")]
)
def test_stop(start_server, number, name):
    server = start_server(workers=2)
    assert server.stop(number) == 0
    log = server.log_text()
    assert f"Handling signal: {name}\n" in log
    assert log.count("Worker exiting (pid: ") == 2
    assert log.splitlines()[-1].endswith("[INFO] Shutting down: Master")


def test_stop_closes_the_port_and_removes_the_socket(start_server):
    server = start_server(bind=["127.0.0.1:0", "unix:s.sock"])
    server.stop()
    assert not (server.directory / "s.sock").exists()
    with pytest.raises(ConnectionRefusedError):
        request(server.address)


def test_term_lets_a_running_request_finish(start_server):
    server = start_server("slow:app", files={"slow.py": SLOW})
    with begin_slow_request(server) as client:
        server.signal(signal.SIGTERM)
        server.wait_log("Handling signal: term")
        finish_slow_request(server)
        assert client.read_response().body == b"done\n"
    assert server.wait_exit() == 0


def test_int_while_draining_is_a_quick_shutdown(start_server):
    server = start_server("slow:app", files={"slow.py": SLOW})
    with begin_slow_request(server):
        server.signal(signal.SIGTERM)
        server.wait_log("Handling signal: term")
        server.signal(signal.SIGINT)
        server.wait_log("Quick shutdown requested")
        assert server.wait_exit() == 0
    assert "was sent SIGKILL" not in server.log_text()


def test_a_worker_that_does_not_stop_is_killed_and_nobody_speaks_of_memory(start_server):
    stubborn = "import signal\n" + SLOW.replace(
        "time.sleep(0.01)", "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])"
    )
    server = start_server("slow:app", "--graceful-timeout", "1", files={"slow.py": stubborn})
    with begin_slow_request(server):
        assert server.stop() == 0
    log = server.log_text()
    assert "Worker graceful timeout (pid:" in log
    assert "Running: 'GET /slow HTTP/1.1'" in log
    assert "was sent SIGKILL! By the master: graceful_timeout was over." in log
    assert "out of memory" not in log


def test_hup_replaces_the_workers(start_server):
    server = start_server(workers=2)
    old = server.worker_pids()
    server.signal(signal.SIGHUP)
    new = server.wait_workers(2, but_not=old)
    server.wait_log("Hang up: Master")
    assert request(server.address).text.split()[-1] in map(str, new)


def test_hup_reads_the_settings_and_takes_back_ttin(start_server):
    server = start_server(None, config="wsgi_app = 'plain:app'", workers=2)
    server.signal(signal.SIGTTIN)
    old = server.wait_workers(3)
    server.write_config("wsgi_app = 'plain:app'\nloglevel = 'debug'")
    server.signal(signal.SIGHUP)
    server.wait_workers(2, but_not=old)
    server.wait_log(r"\[DEBUG\] 2 workers")


def cmdline(pid):
    return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0 ")


@differs("process-title")
def test_process_titles(start_server):
    if importlib.util.find_spec("setproctitle") is None:
        missing("the package setproctitle is not installed")
    server = start_server("plain:app")
    old = server.worker_pids()
    wait_for(lambda: cmdline(server.pid) == "cyserve: master [plain:app]", "the title")
    assert cmdline(old[0]) == "cyserve: worker [plain:app]"
    server.write_config("proc_name = 'shop'")
    server.signal(signal.SIGHUP)
    (new,) = server.wait_workers(1, but_not=old)
    assert cmdline(new) == "cyserve: worker [shop]"
    assert cmdline(server.pid) == "cyserve: master [shop]"


def test_ttin_and_ttou(start_server):
    server = start_server()
    (first,) = server.worker_pids()
    server.signal(signal.SIGTTIN)
    server.wait_workers(2)  # one at a time: the system merges equal signals that are pending
    server.signal(signal.SIGTTIN)
    server.wait_workers(3)
    server.signal(signal.SIGTTOU)
    server.wait_workers(2, but_not=[first])  # the oldest leaves
    server.signal(signal.SIGTTOU)
    (last,) = server.wait_workers(1)
    server.signal(signal.SIGTTOU)
    server.wait_log("Handling signal: ttou", count=3)
    assert request(server.address).text.endswith(f" {last}\n")


def test_usr1_reopens_the_logs_everywhere(start_server):
    server = start_server("plain:app", "--access-logfile", "access.log", errorlog="error.log")
    request(server.address, "/before")
    access, error = server.directory / "access.log", server.directory / "error.log"
    wait_for(lambda: "/before" in access.read_text(), "the access line")
    access.rename(server.directory / "access.old")
    error.rename(server.directory / "error.old")
    server.signal(signal.SIGUSR1)
    wait_for(lambda: access.exists() and error.exists(), "new log files")

    def logged_anew():
        request(server.address, "/after")
        return "/after" in access.read_text()

    wait_for(logged_anew, "an access line in the new file")


def test_winch_does_nothing_in_the_foreground(start_server):
    server = start_server("plain:app", "--log-level", "debug")
    (pid,) = server.worker_pids()
    server.signal(signal.SIGWINCH)
    server.wait_log("SIGWINCH ignored. Not daemonized")
    assert server.worker_pids() == [pid]


def test_chld_brings_a_new_worker_with_the_truth_about_the_old(start_server):
    server = start_server(workers=2)
    victim, other = server.worker_pids()
    server.signal(signal.SIGKILL, victim)
    pids = server.wait_workers(2, but_not=[victim])
    assert other in pids
    server.wait_log(rf"\[ERROR\] Worker \(pid:{victim}\) was sent SIGKILL! Perhaps out of memory\?")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH])
@differs("worker-signals")
def test_a_worker_survives_signals_that_are_the_masters(start_server, number):
    server = start_server()
    (pid,) = server.worker_pids()
    server.signal(number, pid)
    assert request(server.address).text.endswith(f" {pid}\n")
    assert is_running(pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_a_worker_told_to_quit_calls_its_hook(start_server, number):
    server = start_server(config="def worker_int(worker): worker.log.info('hook %s', worker.pid)")
    (pid,) = server.worker_pids()
    server.signal(number, pid)
    server.wait_log(f"hook {pid}$")
    server.wait_workers(1, but_not=[pid])


def test_all_workers_and_the_master_hit_at_once(start_server):
    """What Ctrl-C and Heroku do: everything in the process group gets the signal."""
    server = start_server(workers=3)
    os.killpg(server.pid, signal.SIGINT)
    assert server.wait_exit() == 0
    server.wait_gone()


def test_a_flood_of_signals_is_worked_off(start_server):
    server = start_server()
    for _ in range(20):
        server.signal(signal.SIGTTIN)
        server.signal(signal.SIGTTOU)
    # Signals of one kind that wait together are one: how many workers it ends with is open.
    server.wait_log("Handling signal: ttou")
    assert request(server.address).status == 200
    assert server.stop() == 0


def test_term_during_start(start_server):
    gate = (
        "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\nfrom plain import app\n"
    )
    server = start_server("gated:app", files={"gated.py": gate}, wait=False)
    server.wait_log("Booting worker with pid")
    server.signal(signal.SIGTERM)
    (server.directory / "go").touch()
    assert server.wait_exit() == 0


def test_programs_of_the_application_get_ordinary_signals(start_server):
    code = """
import subprocess, sys
SHOW = "import signal; print([s.name for s in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, " \\
    "signal.SIGTERM) if signal.getsignal(s) != signal.SIG_DFL], signal.pthread_sigmask(0, []))"
def app(environ, start_response):
    out = subprocess.run([sys.executable, "-c", SHOW], capture_output=True).stdout
    start_response("200 OK", [("Content-Length", str(len(out)))])
    return [out]
"""
    server = start_server("spawner:app", files={"spawner.py": code})
    assert request(server.address).text == "[] set()\n"


LEAVING = """
import os, sys, time
def app(environ, start_response): ...
class Last:
    def __del__(self):  # runs when the interpreter has put the signals back
        os.write(1, b"leaving\\n")
        while not os.path.exists("go"):
            time.sleep(0.01)
sys.modules["last"] = Last()
"""


@differs("death-explained")
def test_a_worker_at_its_very_end_is_not_ended_by_a_rotation(start_server):
    server = start_server("leaving:app", files={"leaving.py": LEAVING})
    (pid,) = server.worker_pids()
    server.signal(signal.SIGTERM, pid)
    server.wait_log("^leaving")
    server.signal(signal.SIGUSR1, pid)
    (server.directory / "go").touch()
    server.wait_workers(1, but_not=[pid])
    assert "was sent SIGUSR1" not in server.log_text()


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGABRT])
def test_a_request_that_is_broken_off_is_answered(start_server, number):
    server = start_server("slow:app", files={"slow.py": SLOW})
    (pid,) = server.worker_pids()
    with begin_slow_request(server) as client:
        server.signal(number, pid)
        assert client.read_response().status == 500
