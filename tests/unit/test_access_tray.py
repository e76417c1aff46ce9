"""Access lines that wait in a tray: when they are written, by whom, and where none waits."""

import os
import re
import threading
from functools import partial
from types import SimpleNamespace

import pytest
from log_helpers import own_logging, request, settings

from cyserve import _accel, glogging
from cyserve.access_writer import new_tray
from cyserve.http.postponed import MOMENT, Postponed
from cyserve.process import wake_pipe
from cyserve.workers import gthread


@pytest.fixture(autouse=True)
def _logging_as_before():
    with own_logging():
        yield


def read(path):
    return path.read_text().splitlines()


def holding(tmp_path):
    """Return a Logger with one line in the file `access`, and the tray for those to come."""
    log = glogging.Logger(
        settings(accesslog=str(tmp_path / "access"), errorlog=str(tmp_path / "error"))
    )
    log.access(*request())
    tray = new_tray()
    log._direct.hold(tray, log.error_log.handlers)
    assert log._direct.tray is tray
    return log, tray


def test_held_lines_wait_for_the_flush(tmp_path):
    log, tray = holding(tmp_path)
    for n in range(3):
        log.access(*request(HTTP_USER_AGENT=f"agent {n}"))
    assert len(read(tmp_path / "access")) == 1
    waiting = tray.left()
    log._direct.flush()
    log._direct.flush()
    assert (tmp_path / "access").read_bytes().endswith(waiting)
    assert [line[-8:] for line in read(tmp_path / "access")[1:]] == [
        f'agent {n}"' for n in range(3)
    ]
    assert tray.left() == b""


def test_no_line_waits_after_the_release(tmp_path):
    log, _ = holding(tmp_path)
    log.access(*request())
    log._direct.release()
    assert len(read(tmp_path / "access")) == 2
    log.access(*request())
    assert len(read(tmp_path / "access")) == 3


@pytest.mark.parametrize("size", [100, 3000, 40_000])
def test_a_full_tray_empties_itself(size, tmp_path):
    log, tray = holding(tmp_path)
    for n in range(40):
        log.access(*request(HTTP_USER_AGENT=f"{n:02d}" + "x" * size))
    log._direct.flush()
    lines = read(tmp_path / "access")[1:]
    assert [re.search(r'"(\d\d)x+"$', line)[1] for line in lines] == [f"{n:02d}" for n in range(40)]
    assert tray.left() == b""


def test_held_lines_go_to_the_file_that_is_reopened_later(tmp_path):
    log, _ = holding(tmp_path)
    log.access(*request())
    (tmp_path / "access").rename(tmp_path / "old")
    log.reopen_files()
    log.access(*request())
    log._direct.flush()
    assert len(read(tmp_path / "old")) == 2
    assert len(read(tmp_path / "access")) == 1


def test_threads_that_add_and_flush_lose_and_double_nothing(tmp_path):
    log, _ = holding(tmp_path)
    each = 500

    def run(letter):
        for n in range(each):
            log.access(*request(HTTP_USER_AGENT=f"{letter}{n}"))
            if n % 7 == 0:
                log._direct.flush()

    threads = [threading.Thread(target=run, args=(letter,)) for letter in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log._direct.release()
    agents = [line.rpartition(' "')[2][:-1] for line in read(tmp_path / "access")[1:]]
    assert sorted(agents) == sorted(f"{letter}{n}" for letter in "abc" for n in range(each))


def test_a_child_of_the_worker_leaves_its_lines_alone(tmp_path):
    log, _ = holding(tmp_path)
    log.access(*request())
    pid = os.fork()
    if pid == 0:
        log._direct.flush()
        log.access(*request(HTTP_USER_AGENT="child"))
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert [line[-7:] for line in read(tmp_path / "access")[1:]] == ['"child"'[-7:]]
    log._direct.release()
    assert len(read(tmp_path / "access")) == 3


def test_what_a_dead_worker_had_ready_is_written_by_the_master(tmp_path):
    log = glogging.Logger(settings(accesslog=str(tmp_path / "access"), errorlog=None))
    tray = new_tray()
    pid = os.fork()
    if pid == 0:
        log.access(*request())
        log._direct.hold(tray, [])
        log.access(*request(HTTP_USER_AGENT="last words"))
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert len(read(tmp_path / "access")) == 1
    log.write_left(tray.left())
    assert read(tmp_path / "access")[1].endswith('"last words"')


def test_a_line_without_an_end_is_not_written_by_the_master(tmp_path):
    log = glogging.Logger(settings(accesslog=str(tmp_path / "access"), errorlog=None))
    log.write_left(b"one\ntwo\nthr")
    log.write_left(b"fou")
    log.write_left(b"")
    log.write_left(b"five\n")
    assert (tmp_path / "access").read_bytes() == b"one\ntwo\nfive\n"


@pytest.mark.parametrize(("apart", "calls"), [(-1.0, 3), (1.0, 0)])
def test_many_lines_are_noticed(apart, calls, tmp_path, monkeypatch):
    """Sixteen within a sixth of a second are many. (A clock that goes back is quicker than any.)"""
    log = glogging.Logger(settings(accesslog=str(tmp_path / "access"), errorlog=None))
    clock = _accel.runtime.CLOCK
    monkeypatch.setattr(clock, "ahead", 1000.0)
    called = []
    log.access(*request())
    log._direct.on_many = lambda: called.append(1)
    for _ in range(64):
        log.access(*request())
        clock.ahead += apart
    assert len(called) == calls


PIPE = 1_000_000  # no descriptor: where signals would come


class Signals:
    """In place of a poll object: answers in turn, then says that nothing has come."""

    def __init__(self, *answers):
        self.answers = [*answers]
        self.waits = []

    def poll(self, milliseconds):
        self.waits.append(milliseconds / 1000)
        if self.answers:
            return self.answers.pop(0)
        _accel.runtime.CLOCK.ahead += milliseconds / 1000
        return []


def waiting(log, monkeypatch, *answers, **worker):
    """What the main thread of a worker does for a second; returns for how long each wait was."""
    clock = _accel.runtime.CLOCK  # time passes in Signals.poll alone
    monkeypatch.setattr(gthread, "time", SimpleNamespace(monotonic=lambda: clock.ahead))
    monkeypatch.setattr(clock, "ahead", 0.0)
    signals = Signals(*answers)
    worker = SimpleNamespace(
        **{
            "many": False,
            "alive": True,
            "tray": new_tray(),
            "lent_fd": -1,
            "postponed": Postponed(0, print),
            **worker,
        },
        log=log,
        cycle=SimpleNamespace(direct=log._direct),
        PIPE=(PIPE, None),
    )
    worker._pause = partial(gthread.ThreadWorker._pause, worker)
    gthread.ThreadWorker._wait(worker, signals, 1.0)
    return signals.waits


def test_the_main_thread_lets_lines_wait_when_there_are_many(tmp_path, monkeypatch):
    log, _ = holding(tmp_path)
    log._direct.release()
    assert len(waiting(log, monkeypatch, [(PIPE, 1)])) == 1
    assert log._direct.tray is None
    tray = new_tray()
    waiting(log, monkeypatch, [(PIPE, 1)], many=True, tray=tray)
    assert log._direct.tray is tray


def test_the_main_thread_writes_the_lines_that_wait(tmp_path, monkeypatch):
    log, tray = holding(tmp_path)
    log.access(*request())
    assert len(read(tmp_path / "access")) == 1
    waits = waiting(log, monkeypatch, tray=tray)
    assert max(waits) <= gthread.HELD + 1e-9
    assert len(read(tmp_path / "access")) == 2
    assert log._direct.tray is None  # there were no others


def test_lines_do_not_wait_for_streams_that_call_the_main_thread(tmp_path, monkeypatch):
    log, tray = holding(tmp_path)
    log.access(*request())
    lent_fd, lent_write = wake_pipe()
    calls = [[(lent_fd, 1)]] * 3
    os.write(lent_write, b"...")
    waits = waiting(log, monkeypatch, *calls, tray=tray, lent_fd=lent_fd)
    with pytest.raises(BlockingIOError):  # it has taken note of the calls
        os.read(lent_fd, 1)
    os.close(lent_fd)
    os.close(lent_write)
    assert MOMENT in waits  # it looks after the streams, too
    assert len(read(tmp_path / "access")) == 2


def test_the_main_thread_does_not_wait_for_lines_to_come(tmp_path, monkeypatch):
    log, tray = holding(tmp_path)
    waiting(log, monkeypatch, [(PIPE, 1)], tray=tray)  # called away: nothing can be said yet
    assert log._direct.tray is tray
    log.access(*request())
    waiting(log, monkeypatch, [(PIPE, 1)], tray=tray, alive=False)
    assert log._direct.tray is None
    assert len(read(tmp_path / "access")) == 2


def test_where_nothing_may_wait_nobody_asks_again(tmp_path, monkeypatch):
    path = str(tmp_path / "both")
    log = glogging.Logger(settings(accesslog=path, errorlog=path))
    log.access(*request())
    log._direct.on_many = print
    waiting(log, monkeypatch, [(PIPE, 1)], many=True)
    assert log._direct.tray is None
    assert log._direct.on_many is None


def test_customised_logging_is_asked_from_the_next_flush_on(tmp_path):
    log, _ = holding(tmp_path)
    log.access(*request())
    log._direct.flush()
    log.access_log.addFilter(lambda record: False)
    log.access(*request())
    log._direct.release()
    assert len(read(tmp_path / "access")) == 2


@pytest.mark.parametrize("target", ["pipe", "same file"])
def test_where_lines_are_never_held(target, tmp_path):
    errorlog = accesslog = str(tmp_path / "access")
    if target == "pipe":
        errorlog = str(tmp_path / "error")
        os.mkfifo(accesslog)
        reader = os.open(accesslog, os.O_RDONLY | os.O_NONBLOCK)
    log = glogging.Logger(settings(accesslog=accesslog, errorlog=errorlog))
    log.access(*request())
    assert log._direct.armed
    log._direct.hold(new_tray(), log.error_log.handlers)
    assert log._direct.tray is None
    if target == "pipe":
        os.close(reader)
