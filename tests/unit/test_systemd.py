"""The service manager's view, message by message, on a clock of the test's own."""

import os
import socket
from types import SimpleNamespace

import pytest

from cyserve import systemd


class Log:
    def debug(self, *args, **kwargs):
        raise AssertionError(args)


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=1000.0)
    stand_in = SimpleNamespace(
        monotonic=lambda: clock.now,
        clock_gettime_ns=lambda which: int(clock.now * 1e9),
        CLOCK_MONOTONIC=1,
    )
    monkeypatch.setattr(systemd, "time", stand_in)
    return clock


@pytest.fixture
def heard(monkeypatch, tmp_path):
    """Returns what the manager has heard since it was asked last."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", "notify")
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("notify")
        sock.setblocking(False)

        def messages():
            found = []
            try:
                while True:
                    found.append(sock.recv(9999).decode())
            except BlockingIOError:
                return found

        yield messages


def update(manager, ready, wanted, reloading=False, failing=False):
    manager.update(ready, wanted, reloading=reloading, failing=failing)


MORE_TIME = "EXTEND_TIMEOUT_USEC=30000000"


def test_a_start_takes_the_time_that_it_needs(clock, heard):
    manager = systemd.ServiceManager(Log())
    assert manager.waits
    update(manager, 0, 2)
    assert heard() == ["STATUS=0 of 2 workers are ready", MORE_TIME]
    clock.now += 4.9
    update(manager, 0, 2)
    assert heard() == []
    clock.now += 0.2
    update(manager, 0, 2)
    assert heard() == [MORE_TIME]
    update(manager, 1, 2)
    assert heard() == ["READY=1\nSTATUS=1 of 2 workers are ready"]
    assert not manager.waits
    clock.now += 100
    update(manager, 2, 2)
    assert heard() == ["STATUS=2 workers"]


def test_workers_that_keep_dying_get_no_more_time(clock, heard):
    manager = systemd.ServiceManager(Log())
    for _ in range(3):
        update(manager, 0, 1, failing=True)
        clock.now += 100
    assert heard() == ["STATUS=0 of 1 workers are ready"]


def test_a_server_without_workers_is_ready(clock, heard):
    update(systemd.ServiceManager(Log()), 0, 0)
    assert heard() == ["READY=1\nSTATUS=0 workers"]


def test_reloads(clock, heard):
    manager = systemd.ServiceManager(Log())
    manager.reload()  # before it was ever ready
    assert heard() == []
    update(manager, 2, 2)
    heard()
    manager.reload()
    assert heard() == ["RELOADING=1\nMONOTONIC_USEC=1000000000"]
    update(manager, 0, 2, reloading=True)
    assert heard() == ["STATUS=Reloading, 0 of 2 workers are ready", MORE_TIME]
    clock.now += 1
    manager.reload()  # another one before that has ended
    assert heard() == ["RELOADING=1\nMONOTONIC_USEC=1001000000"]
    update(manager, 2, 2, reloading=True)
    assert heard() == ["STATUS=Reloading, 2 workers"]
    update(manager, 2, 2)
    assert heard() == ["READY=1\nSTATUS=2 workers"]
    manager.reload()
    manager.note = "the last reload failed: why"
    update(manager, 2, 2)  # its end came before the loop went round
    assert heard()[1:] == ["READY=1\nSTATUS=2 workers; the last reload failed: why"]
    manager.reload()
    update(manager, 2, 2)
    assert heard()[1:] == ["READY=1\nSTATUS=2 workers"]


@pytest.mark.parametrize(
    ("owner", "microseconds", "interval"),
    [
        (None, "20000000", 10.0),
        ("", "20000000", 10.0),
        ("me", "20000000", 10.0),
        ("1", "20000000", 0.0),
        ("me", None, 0.0),
        ("me", "0", 0.0),
        ("me", "-5", 0.0),
        ("me", "soon", 0.0),
        ("you", "20000000", 0.0),
    ],
)
def test_when_the_watchdog_is_fed(owner, microseconds, interval, clock, heard, monkeypatch):
    if owner is not None:
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if owner == "me" else owner)
    if microseconds is not None:
        monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    manager = systemd.ServiceManager(Log())
    assert manager.ping_every == interval
    update(manager, 1, 1)
    heard()
    fed = 0
    for _ in range(31):
        clock.now += 1
        update(manager, 1, 1)
        fed += heard().count("WATCHDOG=1")
    assert fed == (3 if interval else 0)


def test_a_stop_and_what_comes_with_it(clock, heard):
    manager = systemd.ServiceManager(Log())
    manager.stop()
    manager.show_life(busy=True)
    assert heard() == ["STOPPING=1\nSTATUS=Stopping", MORE_TIME]


def test_a_successor_is_named_and_then_there_is_silence(clock, heard):
    manager = systemd.ServiceManager(Log())
    manager.stop(successor=77)
    manager.show_life(busy=True)
    update(manager, 0, 1)
    assert heard() == ["MAINPID=77"]
    systemd.ServiceManager(Log()).take_over()
    assert heard() == [f"MAINPID={os.getpid()}"]


def test_without_a_manager_nothing_is_done(clock, heard, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET")
    monkeypatch.setenv("WATCHDOG_USEC", "1000")
    manager = systemd.ServiceManager(Log())
    assert not manager.waits
    assert manager.ping_every == 0.0
    manager.reload()
    update(manager, 1, 1)
    manager.stop()
    manager.take_over()
    assert heard() == []
