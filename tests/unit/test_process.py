"""What a process does to itself, and systemd's environment: each case in a child of its own."""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import subprocess
import sys

import pytest

from cyserve import process, systemd

LOG = logging.getLogger("test.process")


def in_child(code, **options):
    """Runs `code` in a fresh interpreter; returns what it printed, as JSON."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        **options,
    )
    return json.loads(result.stdout), result.stderr


def test_daemonize(tmp_path):
    code = """
import json, os, sys
from cyserve import process
launcher, session = os.getpid(), os.getsid(0)
os.chdir(sys.argv[1])
read, write = os.pipe()
parent = os.fork()
if parent == 0:
    process.daemonize()
    umask = os.umask(0)
    report = [os.getpid() == launcher, os.getsid(0) == session, os.getsid(0) == os.getpid(),
              umask, os.getcwd(), [os.readlink(f"/proc/self/fd/{fd}") for fd in (0, 1, 2)]]
    os.write(write, json.dumps(report).encode())
    os._exit(0)
os.close(write)
assert os.waitstatus_to_exitcode(os.waitpid(parent, 0)[1]) == 0
print(open(read).read())
"""
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    same_pid, same_session, leader, umask, directory, files = json.loads(result.stdout)
    assert (same_pid, same_session, leader, umask) == (False, False, False, 0o22)
    assert directory == str(tmp_path)
    assert files == ["/dev/null"] * 3


def test_daemonize_may_keep_redirected_output(tmp_path):
    code = """
import os, sys
from cyserve import process
process.daemonize(True)
print("still here", flush=True)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True, timeout=30
    )
    assert result.stdout == "still here\n"


def test_the_successor_in_an_upgrade_does_not_go_into_the_background():
    code = """
import os
from cyserve import process
before = os.getpid()
process.daemonize()
print("true" if os.getpid() == before else "false")
"""
    same, _ = in_child(code, env={**os.environ, "GUNICORN_FD": ""})
    assert same is True


def test_a_daemon_under_systemd_is_warned_of():
    code = "from cyserve import process; process.daemonize(True); print(0)"
    _, stderr = in_child(code, env={**os.environ, "NOTIFY_SOCKET": "/nowhere"})
    assert stderr.startswith("Warning: you shouldn't specify `daemon = True`")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
@pytest.mark.parametrize("initgroups", [False, True])
def test_set_owner_process(initgroups):
    code = f"""
import json, os, pwd
from cyserve import process
os.setgroups([1, 2, 3])
user = pwd.getpwnam("nobody")
process.set_owner_process(user.pw_uid, user.pw_gid, {initgroups})
try:
    os.setuid(0)
    regained = True
except PermissionError:
    regained = False
print(json.dumps([os.getresuid() == (user.pw_uid,) * 3, os.getresgid() == (user.pw_gid,) * 3,
                  sorted(os.getgroups()), sorted(set(os.getgrouplist("nobody", user.pw_gid))),
                  regained]))
"""
    (uids, gids, groups, own_groups, regained), _ = in_child(code)
    assert (uids, gids, regained) == (True, True, False)
    assert groups == (own_groups if initgroups else [1, 2, 3])


def test_what_may_not_be_is_named(monkeypatch):
    def refuse(uid):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "setuid", refuse)
    text = rf"cannot become user 12345, group {os.getegid()}: Operation not permitted"
    with pytest.raises(PermissionError, match=text):
        process.set_owner_process(12345, os.getegid())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_initgroups_for_a_number_without_a_name():
    code = """
import json, os
from cyserve import process
os.setgroups([1, 2, 3])
process.set_owner_process(54321, 54321, True)
print(json.dumps([os.getuid(), os.getgid(), os.getgroups()]))
"""
    found, _ = in_child(code)
    assert found == [54321, 54321, [54321]]


def test_our_own_ids_change_nothing():
    code = """
import json, os
from cyserve import process
before = os.getgroups()
process.set_owner_process(os.geteuid(), os.getegid())
print(json.dumps(os.getgroups() == before))
"""
    assert in_child(code)[0] is True


def test_descriptor_flags():
    read, write = os.pipe()
    try:
        os.set_inheritable(read, True)
        process.close_on_exec(read)
        process.set_non_blocking(read)
        assert not os.get_inheritable(read)
        with pytest.raises(BlockingIOError):
            os.read(read, 1)
    finally:
        os.close(read)
        os.close(write)


@pytest.fixture
def listen_env(monkeypatch):
    def set_env(**values):
        for name, value in values.items():
            monkeypatch.setenv(name, str(value))

    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        monkeypatch.delenv(name, raising=False)
    return set_env


def test_listen_fds(listen_env):
    assert systemd.listen_fds() == 0
    listen_env(LISTEN_PID=os.getpid(), LISTEN_FDS=3, LISTEN_FDNAMES="a:b:c")
    assert systemd.listen_fds(unset_environment=False) == 3
    assert systemd.listen_fds() == 3
    assert not {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} & os.environ.keys()


@pytest.mark.parametrize(("pid", "fds"), [(1, 3), ("x", 3), ("ours", "x"), ("ours", -1)])
def test_listen_fds_of_others_or_nonsense(listen_env, pid, fds):
    listen_env(LISTEN_PID=os.getpid() if pid == "ours" else pid, LISTEN_FDS=fds)
    assert systemd.listen_fds() == 0


@pytest.mark.parametrize("abstract", [False, True])
def test_sd_notify(monkeypatch, tmp_path, abstract):
    monkeypatch.chdir(tmp_path)
    name = f"@cyserve-notify-{os.getpid()}" if abstract else "notify.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        systemd.sd_notify("READY=1", LOG)
        assert manager.recv(100) == b"READY=1"
        systemd.sd_notify("STOPPING=1", LOG, unset_environment=True)
        assert manager.recv(100) == b"STOPPING=1"
    assert "NOTIFY_SOCKET" not in os.environ


def test_sd_notify_without_a_manager(monkeypatch, caplog):
    caplog.set_level(logging.DEBUG, "test.process")
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.sd_notify("READY=1", LOG)
    assert caplog.text == ""
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/at/all")
    systemd.sd_notify("READY=1", LOG)
    assert "sd_notify" in caplog.text
