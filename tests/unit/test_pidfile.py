"""The pid file: written whole, never over a living process, never removed when it is another's."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from cyserve.pidfile import Pidfile


@pytest.fixture
def path(tmp_path):
    return tmp_path / "server.pid"


@pytest.fixture
def stranger():
    """A living process that is not us."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process.pid
    process.communicate()


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_create_writes_the_pid_and_nothing_else(path):
    pidfile = Pidfile(str(path))
    pidfile.create(os.getpid())
    assert path.read_text() == f"{os.getpid()}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(path.parent) == ["server.pid"]


def test_a_path_without_a_folder_is_in_the_current_directory(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    Pidfile("server.pid").create(os.getpid())
    assert path.read_text() == f"{os.getpid()}\n"


def test_a_living_process_in_the_file_is_respected(path, stranger):
    path.write_text(f"{stranger}\n")
    message = rf"Already running on PID {stranger} \(or pid file '.*server.pid' is stale\)"
    with pytest.raises(RuntimeError, match=message):
        Pidfile(str(path)).create(os.getpid())
    assert path.read_text() == f"{stranger}\n"


def test_our_own_pid_is_no_stranger(path):
    path.write_text(f"{os.getpid()}\n")  # in a container every server is process 1
    Pidfile(str(path)).create(os.getpid())
    assert path.read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize("content", ["", "x", "-1", "0", "1 2", "9" * 40, "\0" * 10])
def test_a_file_without_a_process_is_overwritten(path, content):
    path.write_text(content)
    assert Pidfile(str(path)).validate() is None
    Pidfile(str(path)).create(os.getpid())
    assert path.read_text() == f"{os.getpid()}\n"


def test_a_dead_process_is_overwritten(path):
    path.write_text(f"{dead_pid()}\n")
    Pidfile(str(path)).create(os.getpid())
    assert path.read_text() == f"{os.getpid()}\n"


def test_a_missing_folder_is_named(tmp_path):
    folder = tmp_path / "missing"
    with pytest.raises(RuntimeError, match=rf"{folder} doesn't exist. Can't create pidfile."):
        Pidfile(str(folder / "x.pid")).create(os.getpid())


def test_a_failing_rename_leaves_nothing_behind(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(RuntimeError, match="Can't create pidfile '.*folder': Is a directory"):
        Pidfile(str(tmp_path / "folder")).create(os.getpid())
    assert os.listdir(tmp_path) == ["folder"]


def test_rename_moves_it(path):
    pidfile = Pidfile(str(path) + ".2")
    pidfile.create(os.getpid())
    pidfile.rename(str(path))
    assert os.listdir(path.parent) == ["server.pid"]
    assert (pidfile.fname, path.read_text()) == (str(path), f"{os.getpid()}\n")


def test_unlink_removes_only_our_own(path, stranger):
    pidfile = Pidfile(str(path))
    pidfile.create(os.getpid())
    path.write_text(f"{stranger}\n")
    pidfile.unlink()
    assert path.read_text() == f"{stranger}\n"
    path.write_text(f"{os.getpid()}\n")
    pidfile.unlink()
    assert not path.exists()
    pidfile.unlink()  # gone already: no harm


def test_unlink_before_create_removes_nothing(path):
    path.write_text(f"{os.getpid()}\n")
    Pidfile(str(path)).unlink()
    assert path.exists()
