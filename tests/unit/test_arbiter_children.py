"""How the master judges its children: what it says of the dead, when it acts on the living."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from types import SimpleNamespace

import pytest

from cyserve.children import BackOff, Child
from cyserve.scoreboard import READY, STARTING, Scoreboard

SECOND = 1_000_000_000


@pytest.fixture
def child():
    return Child(SimpleNamespace(slot=Scoreboard(1, lanes=2).claim()), 123, generation=0)


def ended(code):
    """The wait status of a real process that ran `code`."""
    args = [sys.executable, "-c", f"import os, signal, time; {code}"]
    return os.waitpid(os.spawnv(os.P_NOWAIT, sys.executable, args), 0)[1]


def killed(name):
    return ended(f"os.kill(os.getpid(), signal.{name}); time.sleep(30)")


def test_a_worker_is_ready_at_its_first_heartbeat(child):
    child.slot.state = STARTING  # its run() has been called: it may start an application first
    assert not child.ready
    child.slot.beat()
    assert child.ready


def test_a_worker_that_never_shows_life_is_taken_for_ready_in_the_end(child):
    child.born -= 61
    assert not child.ready  # it may still be loading the application
    child.slot.state = STARTING
    assert child.ready
    assert child.overdue(time.monotonic() + 1000, timeout=30, boot_timeout=0) == ""


def test_a_good_end_needs_no_words(child):
    child.slot.state = READY
    assert child.obituary(ended("os._exit(0)"))[0] == logging.NOTSET


def test_a_retired_child_may_leave_before_it_was_ready(child):
    child.kill_at = time.monotonic()
    assert child.obituary(ended("os._exit(0)"))[0] == logging.NOTSET


def test_code_0_before_it_was_ready(child):
    level, text = child.obituary(ended("os._exit(0)"))
    assert (level, text) == (
        logging.ERROR,
        "Worker (pid:123) exited with code 0 before it was ready.",
    )


def test_another_code_with_what_was_running(child):
    status = ended("os._exit(7)")
    child.slot.begin(b'GET /a"\x1b[31m HTTP/1.1', 1)
    level, text = child.obituary(status)
    assert level == logging.ERROR
    assert text.startswith("Worker (pid:123) exited with code 7. Running: ")
    assert r"""'GET /a"\x1b[31m HTTP/1.1' for """ in text


@pytest.mark.parametrize(
    ("name", "level", "end"),
    [
        ("SIGTERM", logging.INFO, ""),
        ("SIGSEGV", logging.WARNING, ""),
        ("SIGKILL", logging.ERROR, " Perhaps out of memory?"),
    ],
)
def test_signals_that_others_sent(child, name, level, end):
    assert child.obituary(killed(name)) == (level, f"Worker (pid:123) was sent {name}!{end}")


def test_a_kill_of_our_own_is_no_riddle(child):
    child.killed = "it was silent"
    assert child.obituary(killed("SIGKILL")) == (
        logging.WARNING,
        "Worker (pid:123) was sent SIGKILL! By the master: it was silent.",
    )


def test_a_real_time_signal_has_a_name_or_a_number(child):
    level, text = child.obituary(signal.SIGRTMIN + 3)
    assert (level, text) == (
        logging.WARNING,
        f"Worker (pid:123) was sent signal {signal.SIGRTMIN + 3}!",
    )


def test_booting_is_limited_by_boot_timeout_alone(child):
    later = child.born + 1000
    assert child.overdue(later, timeout=30, boot_timeout=0) == ""
    assert child.overdue(child.born + 4.9, timeout=1, boot_timeout=5) == ""
    assert child.overdue(child.born + 5.1, timeout=1, boot_timeout=5) == (
        " It did not get ready within boot_timeout (5 s)."
    )


def test_silence_is_counted_from_the_last_beat(child):
    child.slot.state = READY
    assert child.overdue(time.monotonic() + 1000, timeout=30, boot_timeout=5) == ""
    child.slot.beat()
    beat = child.slot.heartbeat / SECOND
    assert child.overdue(beat + 29, timeout=30, boot_timeout=5) == ""
    assert child.overdue(beat + 31, timeout=0, boot_timeout=5) == ""
    assert child.overdue(beat + 31, timeout=30, boot_timeout=5) == (
        " Silent for 31.0 s, no request is known."
    )
    child.slot.begin(b"GET /slow HTTP/1.1")
    assert "Running: 'GET /slow HTTP/1.1'" in child.overdue(beat + 31, 30, 5)


def test_a_heartbeat_of_its_own_is_a_boot(child):
    assert not child.ready
    child.slot.beat()
    assert child.ready


def test_stillborn(child):
    child.born += 1000  # young, however long this takes
    assert child.stillborn(0)
    child.slot.state = READY
    assert child.stillborn(256)
    assert not child.stillborn(0)
    child.slot.begin(b"GET /")
    assert not child.stillborn(256)  # it did work
    child.slot.clear()
    child.slot.state = READY
    child.born -= 1010
    assert not child.stillborn(256)
    child.slot.clear()
    child.kill_at = 0.0
    assert not child.stillborn(0)  # it was told to go


def test_waits_double_up_to_half_a_minute():
    back_off, now, delays = BackOff(), 1000.0, []
    for _ in range(8):
        assert back_off.failed(now)
        delays.append(back_off.delay)
        assert back_off.until == now + back_off.delay
        now = back_off.until
    assert delays == [1, 2, 4, 8, 16, 30, 30, 30]


def test_siblings_count_once():
    back_off = BackOff()
    assert back_off.failed(1000.0)
    assert not back_off.failed(1000.1)
    assert not back_off.failed(1000.9)
    assert back_off.until == 1001.0


def test_only_a_later_worker_that_lives_ends_the_wait():
    back_off = BackOff()
    back_off.failed(1000.0)
    back_off.good(born=999.0, now=1005.0)
    assert back_off.delay == 1
    back_off.good(born=1001.0, now=1001.5)
    assert back_off.delay == 1
    back_off.good(born=1001.0, now=1002.1)
    assert (back_off.delay, back_off.until) == (0, 0)
    back_off.failed(1010.0)
    assert back_off.delay == 1
