"""USR2: a new master takes over the sockets; nobody is turned away, and each master can go back."""

from __future__ import annotations

import re
import signal
import socket
import sys

import pytest
from harness import differs, free_port, is_running, processes, wait_for
from http_client import request
from test_master_boot import ACTIVATE


@pytest.fixture
def start_upgradable(start_server):
    """Starts a server with a pid file, by which new masters are found."""

    def start(*args, **options):
        options.setdefault("config", "pidfile = 'm.pid'")
        return start_server("plain:app", *args, **options)

    return start


def read(path):
    try:
        return path.read_text()
    except OSError:
        return ""


def new(server):
    """The pid in the pid file of the new master; 0 if there is none."""
    pid = int(read(server.directory / "m.pid.2") or 0)
    return pid if pid != server.pid else 0  # just promoted: the second name goes last


def upgrade(server):
    """Sends USR2 and waits for the new master to have a worker; returns its pid."""
    server.signal(signal.SIGUSR2)
    pid = wait_for(lambda: new(server), "the new master")
    server.wait_workers(1, master=pid)
    return pid


def pid_file(server):
    return read(server.directory / "m.pid")


def answering(server, address=None):
    return int(request(address or server.address).text.split()[-1])


def test_the_new_master_takes_over(start_upgradable):
    server = start_upgradable()
    old_workers = server.worker_pids()
    successor = upgrade(server)
    assert pid_file(server) == f"{server.pid}\n"
    new_workers = server.worker_pids(successor)
    assert answering(server) in [*old_workers, *new_workers]
    assert server.process.poll() is None

    server.signal(signal.SIGQUIT)
    assert server.wait_exit() == 0
    server.pid = successor
    server.wait_log(r"Master has been promoted\.")
    wait_for(lambda: pid_file(server) == f"{successor}\n", "the pid file of the new master")
    assert not new(server)
    assert answering(server) in new_workers
    second = upgrade(server)  # and again
    server.signal(signal.SIGTERM)
    wait_for(lambda: not is_running(successor), "the end of the second master")
    server.pid = second
    wait_for(lambda: pid_file(server) == f"{second}\n", "the pid file of the third master")
    assert answering(server) in server.worker_pids(second)


def test_the_old_master_can_stay(start_upgradable):
    server = start_upgradable(bind=["127.0.0.1:0", "unix:u.sock"])
    successor = upgrade(server)
    server.signal(signal.SIGTERM, successor)
    server.wait_log(r"Shutting down: Master\.2")
    wait_for(lambda: successor not in processes(), "the new master to be reaped by the old one")
    for address in server.addresses:  # the socket's file is still there
        assert answering(server, address) in server.worker_pids()
    assert not new(server)
    third = upgrade(server)
    assert answering(server) in [*server.worker_pids(), *server.worker_pids(third)]


def test_a_second_usr2_is_refused_by_both(start_upgradable):
    server = start_upgradable()
    successor = upgrade(server)
    server.signal(signal.SIGUSR2)
    server.wait_log(r"USR2 signal ignored\. Child exists\.")
    server.signal(signal.SIGUSR2, successor)
    server.wait_log(r"USR2 signal ignored\. Parent exists\.")


def test_unix_sockets_outlive_the_old_master(start_upgradable):
    server = start_upgradable(bind="unix:u.sock")
    successor = upgrade(server)
    server.signal(signal.SIGTERM)
    server.wait_exit()
    server.pid = successor
    server.wait_log("Master has been promoted")
    assert answering(server) in server.worker_pids(successor)
    server.signal(signal.SIGTERM)
    wait_for(lambda: not is_running(successor), "the end of the new master")
    assert not (server.directory / "u.sock").exists()


@differs("upgrade-listeners")
def test_with_reuse_port(start_upgradable):
    port = free_port()
    server = start_upgradable("--reuse-port", bind=f"127.0.0.1:{port}")
    successor = upgrade(server)
    server.signal(signal.SIGTERM)
    server.wait_exit()
    assert answering(server, ("127.0.0.1", port)) in server.worker_pids(successor)


@differs("upgrade-listeners")
def test_under_systemd(start_upgradable):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        server = start_upgradable(
            pass_fds=[fd], prefix=[sys.executable, "-c", ACTIVATE.format(fd=fd)]
        )
    successor = upgrade(server)
    server.signal(signal.SIGTERM)
    server.wait_exit()
    server.pid = successor
    server.wait_log("Master has been promoted")
    assert answering(server) in server.worker_pids(successor)
    third = upgrade(server)
    server.signal(signal.SIGTERM)
    wait_for(lambda: not is_running(successor), "the end of the second master")
    assert answering(server) in server.worker_pids(third)


def test_a_new_master_that_cannot_start(start_upgradable):
    server = start_upgradable()
    workers = server.worker_pids()
    server.write_config("pidfile = 'm.pid'\nraise RuntimeError('broken upgrade')")
    server.signal(signal.SIGUSR2)
    server.wait_log("broken upgrade")
    server.write_config("pidfile = 'm.pid'")

    def accepted():
        server.signal(signal.SIGUSR2)
        return new(server)

    assert server.worker_pids() == workers
    wait_for(accepted, "an upgrade after a failed one")
    assert pid_file(server) == f"{server.pid}\n"


def test_daemon_choreography(start_server):
    """USR2, then WINCH and QUIT to the old master, as the documents of operators say."""
    server = start_server(
        "plain:app",
        "--daemon",
        bind=f"127.0.0.1:{free_port()}",
        errorlog="error.log",
        config="pidfile = 'm.pid'",
        wait=False,
    )
    assert server.wait_exit() == 0
    old = int(wait_for(lambda: read(server.directory / "m.pid"), "the pid file"))
    server.pid = old
    wait_for(lambda: len(server.worker_pids()) == 1, "a worker")
    address = ("127.0.0.1", int(re.search(r"127.0.0.1:(\d+)", server.log_text()).group(1)))
    old_worker = server.worker_pids()

    server.signal(signal.SIGUSR2)
    successor = wait_for(lambda: new(server), "the new master")
    wait_for(lambda: len(server.worker_pids(successor)) == 1, "its worker")
    server.signal(signal.SIGWINCH)
    wait_for(lambda: not server.worker_pids(), "the end of the old workers")
    assert answering(server, address) in server.worker_pids(successor)
    server.signal(signal.SIGHUP)  # the way back: the old master's workers return
    wait_for(lambda: len(server.worker_pids()) == 1, "an old master's worker")
    assert server.worker_pids() != old_worker
    server.signal(signal.SIGQUIT)
    wait_for(lambda: not is_running(old), "the end of the old master")
    server.wait_log("Master has been promoted")
    assert answering(server, address) in server.worker_pids(successor)
    server.signal(signal.SIGTERM, successor)
    server.wait_gone()
    assert not (server.directory / "m.pid").exists()


def test_pre_exec_runs_in_the_child(start_upgradable):
    config = """
pidfile = 'm.pid'
def pre_exec(server):
    import os
    server.log.info("pre_exec of %s: %s", server.pid, os.getpid() != server.pid)
"""
    server = start_upgradable(config=config)
    upgrade(server)
    server.wait_log(f"pre_exec of {server.pid}: True")
