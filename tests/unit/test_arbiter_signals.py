"""The master's queue of signals, and forks that lose none."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from cyserve import signals


@pytest.fixture
def queue():
    """A queue that receives this process's signals; everything is put back afterwards."""
    watched = (*signals.SIGNALS, signal.SIGCHLD)
    handlers = {sig: signal.getsignal(sig) for sig in watched}
    queue = signals.SignalQueue()
    queue.install(lambda sig, frame: queue.put(sig))
    yield queue
    for sig, handler in handlers.items():
        signal.signal(sig, handler)
    queue.close()


def test_names():
    assert {signals.SIG_NAMES[sig] for sig in (*signals.SIGNALS, signal.SIGCHLD)} == {
        "hup",
        "quit",
        "int",
        "term",
        "ttin",
        "ttou",
        "usr1",
        "usr2",
        "winch",
        "chld",
    }


def test_order_of_arrival_is_kept(queue):
    sent = [signal.SIGUSR1, signal.SIGHUP, signal.SIGTTIN, signal.SIGUSR1]
    for sig in sent:
        os.kill(os.getpid(), sig)
    assert list(queue.pending) == sent


def test_deaths_of_children_count_once(queue):
    for sig in (signal.SIGCHLD, signal.SIGHUP, signal.SIGCHLD, signal.SIGCHLD):
        queue.put(sig)
    assert list(queue.pending) == [signal.SIGCHLD, signal.SIGHUP]


def test_wait_ends_when_a_signal_comes(queue):
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGHUP)).start()
    queue.wait(50.0)  # the test's own limit ends it if no signal does
    assert list(queue.pending) == [signal.SIGHUP]


def test_wait_does_not_sleep_on_a_queued_signal(queue):
    queue.pending.append(signal.SIGHUP)
    queue.wait(50.0)


def test_wake_ends_the_next_wait_and_only_that(queue):
    queue.wake()
    queue.wait(50.0)
    start = time.monotonic()
    queue.wait(0.05)
    assert time.monotonic() - start >= 0.04


def test_a_flood_fills_nothing_up(queue):
    for _ in range(100_000):
        queue.wake()
    queue.wait(50.0)
    start = time.monotonic()
    queue.wait(0.05)
    assert time.monotonic() - start >= 0.04


def exit_status(child):
    """Forks, runs `child` there, and returns how it ended."""
    pid = signals.fork()
    if pid == 0:
        code = 99
        try:
            code = child() or 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("sig", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH])
def test_a_fresh_child_shrugs_off_what_is_meant_for_the_master(queue, sig):
    assert exit_status(lambda: os.kill(os.getpid(), sig)) == 0


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_fresh_child_can_be_ended(queue, sig):
    assert exit_status(lambda: os.kill(os.getpid(), sig)) == -sig


def test_nothing_stays_blocked(queue):
    assert exit_status(lambda: len(signal.pthread_sigmask(signal.SIG_BLOCK, []))) == 0
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_signals_sent_to_a_child_at_once_arrive(queue):
    for _ in range(50):
        pid = signals.fork()
        if pid == 0:
            time.sleep(30)
            os._exit(99)
        os.kill(pid, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM


def test_the_child_does_not_wake_its_parent(queue):
    assert exit_status(lambda: os.kill(os.getpid(), signal.SIGHUP)) == 0
    queue.wait(5.0)  # SIGCHLD
    assert list(queue.pending) == [signal.SIGCHLD]
