"""First start, good and bad; exit codes; the pid file; going into the background; owners."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest
from harness import differs, free_port, is_running, processes, put, wait_for
from http_client import request


def test_log_of_a_good_start_and_stop(start_server):
    server = start_server(workers=2)
    server.stop()
    lines = [line.split("] ", 2)[2] for line in server.log_text().splitlines()]
    pid, (host, port) = server.pid, server.address
    assert re.fullmatch(r"\[INFO\] Starting cyserve \S+", lines[0])
    assert lines[1:3] == [
        f"[INFO] Listening at: http://{host}:{port} ({pid})",
        "[INFO] Using worker: sync",
    ]
    assert sum("[INFO] Booting worker with pid: " in line for line in lines) == 2
    assert lines[-1] == "[INFO] Shutting down: Master"


def test_hooks_of_a_whole_life_in_order(start_server):
    config = """
import os
def hook(name):
    os.write(2, f"hook {name}\\n".encode())
def nworkers_changed(server, new, old): hook(f"nworkers_changed {new} {old}")
def on_starting(server): hook("on_starting")
def when_ready(server): hook("when_ready")
def pre_fork(server, worker): hook(f"pre_fork {worker.pid}")
def post_fork(server, worker): hook(f"post_fork {worker.pid == os.getpid()}")
def post_worker_init(worker): hook(f"post_worker_init {worker.wsgi is not None} {worker.booted}")
def worker_exit(server, worker): hook("worker_exit")
def child_exit(server, worker): hook("child_exit")
def on_exit(server): hook("on_exit")
"""
    server = start_server(config=config)
    server.stop()
    assert re.findall("^hook (.*)$", server.log_text(), re.MULTILINE) == [
        "nworkers_changed 1 None",
        "on_starting",
        "when_ready",
        "pre_fork [booting]",
        "post_fork True",
        "post_worker_init True False",
        "worker_exit",
        "child_exit",
        "on_exit",
    ]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(
    ("code", "app", "status", "reason", "text"),
    [
        (
            "raise ValueError('my fault')",
            "bad:app",
            3,
            "Worker failed to boot.",
            "ValueError: my fault",
        ),
        ("import no_such_module", "bad:app", 3, "Worker failed to boot.", "no_such_module"),
        ("import os; os._exit(3)", "bad:app", 3, "Worker failed to boot.", "exited with code 3"),
        ("", "bad:app", 4, "App failed to load.", "Failed to find attribute 'app' in 'bad'."),
        ("app = None", "bad:app", 4, "App failed to load.", "'app'"),
    ],
)
def test_an_application_that_does_not_load(start_server, workers, code, app, status, reason, text):
    server = start_server(
        app, files={"bad.py": code}, workers=workers, wait=False, config="pidfile = 'x.pid'"
    )
    assert server.wait_exit() == status
    server.wait_gone()
    log = server.log_text()
    assert f"[ERROR] Reason: {reason}\n" in log
    assert text in log
    assert "HaltServer" not in log
    assert not (server.directory / "x.pid").exists()


@pytest.mark.parametrize("code", ["import os; os._exit(7)", "raise SystemExit(0)"])
@differs("boot-storm")
def test_workers_that_die_at_birth_are_not_forked_in_a_storm(start_server, code):
    server = start_server("bad:app", files={"bad.py": code}, workers=2, wait=False)
    second = "A worker died while it started; next try in 2 s."
    server.wait_log(re.escape(second))
    assert server.log_text().partition(second)[0].count("Booting worker with pid") <= 4
    put(server.directory / "bad.py", "from plain import app")
    server.wait_ready(2)  # repaired: it serves without anybody's help
    assert request(server.address).status == 200


@differs("late-exit-3-4")
def test_an_exit_code_in_a_request_does_not_stop_the_server(start_server):
    code = """
import os
def app(environ, start_response):
    if environ["PATH_INFO"][1:].isdigit():
        os._exit(int(environ["PATH_INFO"][1:]))
    start_response("200 OK", [("Content-Length", "3")])
    return [b"ok\\n"]
"""
    server = start_server("exits:app", files={"exits.py": code})
    for status in (3, 4):
        (pid,) = server.worker_pids()
        with server.connect() as client:
            client.send(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % status)
            assert client.read_to_eof() == b""
        server.wait_workers(1, but_not=[pid])
        server.wait_log(
            rf"Worker \(pid:{pid}\) exited with code {status}\. Running: 'GET /{status} HTTP/1.1'"
        )
    assert request(server.address).text == "ok\n"


def test_a_busy_address(start_server):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        host, port = busy.getsockname()
        server = start_server(bind=f"{host}:{port}", wait=False, config="pidfile = 'x.pid'")
        assert server.wait_exit() == 1
    log = server.log_text()
    assert f"[ERROR] Connection in use: ('{host}', {port})" in log
    assert f"[ERROR] Can't connect to ('{host}', {port})" in log
    assert "Traceback" not in log
    assert not (server.directory / "x.pid").exists()


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["-b", "fd://77"], "Error: Cannot listen: [Errno 9] Bad file descriptor: 'fd://77'"),
        (["-p", "."], "Error: Can't create pidfile '.': "),
        (["--error-logfile", "."], "Error: errorlog = '.' isn't writable: Is a directory"),
        (["--access-logfile", "no/a"], "Error: accesslog = 'no/a' isn't writable: No such file"),
        (["--log-config", "no.ini"], "Error: logconfig = 'no.ini': there is no such file"),
    ],
)
@differs("boot-errors")
def test_what_cannot_be_opened_is_named_in_one_line(start_server, args, line):
    server = start_server("plain:app", *args, bind=None, wait=False)
    assert server.wait_exit() == 1
    (said,) = (text for text in server.log_text().splitlines() if "[INFO]" not in text)
    assert said.startswith(line)


@differs("boot-errors")
def test_a_module_that_is_not_there_needs_no_traceback(start_server):
    server = start_server("no_such:app", wait=False)
    assert server.wait_exit() == 3
    log = server.log_text()
    assert "ModuleNotFoundError: No module named 'no_such'" in log
    assert "Traceback" not in log


def test_the_pid_file(start_server):
    server = start_server("plain:app", "--pid", "server.pid")
    path = server.directory / "server.pid"
    assert path.read_text() == f"{server.pid}\n"
    second = start_server("plain:app", "--pid", str(path), wait=False)
    assert second.wait_exit() == 1
    assert f"Already running on PID {server.pid}" in second.log_text()
    server.stop()
    assert not path.exists()


def test_a_stale_pid_file_is_overwritten(start_server):
    server = start_server("plain:app", "--pid", "server.pid", files={"server.pid": "999999999\n"})
    assert (server.directory / "server.pid").read_text() == f"{server.pid}\n"


def test_a_pid_file_in_a_missing_folder(start_server):
    server = start_server("plain:app", "--pid", "missing/x.pid", wait=False)
    assert server.wait_exit() == 1
    assert "missing doesn't exist. Can't create pidfile." in server.log_text()
    assert "Traceback" not in server.log_text()


@pytest.fixture
def daemon(start_server):
    """A server in the background; `pid` is its master's."""
    server = start_server(
        "plain:app",
        "--daemon",
        "--pid",
        "d.pid",
        bind=f"127.0.0.1:{free_port()}",
        errorlog="error.log",
        wait=False,
    )
    assert server.wait_exit() == 0
    path = server.directory / "d.pid"
    wait_for(lambda: path.exists(), "the pid file")
    server.pid = int(path.read_text())
    server.wait_log("Listening at")
    wait_for(lambda: len(server.worker_pids()) == 1, "a worker")
    yield server
    if is_running(server.pid):
        os.kill(server.pid, signal.SIGTERM)
    server.wait_gone()


def address_of(server):
    return "127.0.0.1", int(re.findall(r"http://127.0.0.1:(\d+)", server.log_text())[-1])


def test_daemon(daemon):
    assert request(address_of(daemon)).status == 200
    state, parent, session = processes()[daemon.pid]
    assert session not in (daemon.pid, daemon.process.pid, os.getsid(0))
    assert parent != os.getpid()
    for fd in (0, 1, 2):
        assert os.readlink(f"/proc/{daemon.pid}/fd/{fd}") == "/dev/null"
    assert os.readlink(f"/proc/{daemon.pid}/cwd") == str(daemon.directory)


def test_winch_stops_the_workers_of_a_daemon(daemon):
    daemon.signal(signal.SIGWINCH)
    daemon.wait_log("graceful stop of workers")
    wait_for(lambda: not daemon.worker_pids(), "the end of the workers")
    daemon.signal(signal.SIGHUP)  # brings them back
    wait_for(lambda: len(daemon.worker_pids()) == 1, "a worker")
    assert request(address_of(daemon)).status == 200


def test_reuse_port(start_server):
    port = free_port()
    server = start_server("plain:app", "--reuse-port", bind=f"127.0.0.1:{port}", workers=2)
    assert f"Listening at:  ({server.pid})" in server.log_text()
    inodes = [
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()
        if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
    ]
    assert len(inodes) == 2
    assert request(("127.0.0.1", port)).status == 200
    assert server.stop() == 0


def test_a_lent_descriptor(start_server):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        server = start_server(bind=f"fd://{fd}", pass_fds=[fd])
        assert request(listener.getsockname()).status == 200
        assert server.address == listener.getsockname()


# What systemd does: the sockets from descriptor 3 on, and the pid that they are meant for.
ACTIVATE = """
import os, sys
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.dup2({fd}, 3)
os.execv(sys.argv[1], sys.argv[1:])
"""

SHOW_ENVIRON = """
import os
def app(environ, start_response):
    text = repr([name for name in os.environ if name.startswith(("LISTEN_", "GUNICORN_"))])
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text.encode()]
"""


def test_socket_activation(start_server):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        server = start_server(
            "show:app",
            bind="127.0.0.1:1",
            pass_fds=[fd],
            files={"show.py": SHOW_ENVIRON},
            prefix=[sys.executable, "-c", ACTIVATE.format(fd=fd)],
        )
        assert server.address == listener.getsockname()
        assert request(server.address).text == "[]"  # nothing is left to mislead children
        assert server.stop() == 0


WHO = """
import os
def app(environ, start_response):
    umask = os.umask(0)
    os.umask(umask)
    text = f"{os.getuid()} {os.geteuid()} {os.getgid()} {umask:o} {sorted(os.getgroups())}"
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text.encode()]
"""


def test_user_and_group(start_server, everybody_may_enter):
    server = start_server(
        "who:app",
        "--user",
        "65534",
        "--group",
        "65534",
        "--umask",
        "0117",
        bind="unix:w.sock",
        files={"who.py": WHO},
        errorlog="error.log",
    )
    assert request(server.address).text.split()[:3] == ["65534", "65534", "65534"]
    assert os.stat(f"/proc/{server.pid}").st_uid == 0
    for name in ("w.sock", "error.log"):
        status = (server.directory / name).stat()
        assert (status.st_uid, status.st_gid) == (65534, 65534)
    assert stat.S_IMODE((server.directory / "w.sock").stat().st_mode) == 0o660
    assert server.stop() == 0


def test_initgroups(start_server, everybody_may_enter):
    server = start_server("who:app", "--user", "nobody", "--initgroups", files={"who.py": WHO})
    groups = request(server.address).text.partition("[")[2]
    own = sorted(set(os.getgrouplist("nobody", os.getegid())))
    assert groups == ", ".join(map(str, own)) + "]"


def test_a_user_that_does_not_exist(start_server):
    server = start_server("plain:app", "--user", "nosuchuser", wait=False)
    assert server.wait_exit() == 1
    assert "nosuchuser" in server.log_text()
    assert "Traceback" not in server.log_text()
