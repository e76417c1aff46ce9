"""The scoreboard: what one process stores, the other reads."""

from __future__ import annotations

import os
import time

import pytest

from cyserve import scoreboard
from cyserve.scoreboard import BOOTING, DRAINING, READY, Scoreboard


def test_a_new_slot_is_empty():
    slot = Scoreboard(2).claim()
    assert (slot.heartbeat, slot.pid, slot.state, slot.requests) == (0, 0, BOOTING, 0)
    assert (slot.connections, slot.rss, slot.in_progress()) == (0, 0, [])


def test_the_parent_reads_what_the_child_stored():
    board = Scoreboard(3, lanes=2)
    slots = [board.claim() for _ in range(3)]
    before = time.monotonic_ns()
    pid = os.fork()
    if pid == 0:
        slot = slots[1]
        slot.pid = os.getpid()
        slot.state = READY
        slot.connections = 7
        slot.rss = 1 << 33
        slot.begin(b"GET /first HTTP/1.1")
        slot.end()
        slot.begin(b"GET /slow HTTP/1.1", lane=1)
        slot.beat()
        os._exit(0)
    os.waitpid(pid, 0)
    slot = slots[1]
    assert (slot.pid, slot.state, slot.connections, slot.rss) == (pid, READY, 7, 1 << 33)
    assert slot.requests == 2
    assert before <= slot.heartbeat <= time.monotonic_ns()
    ((age, line),) = slot.in_progress()
    assert line == "GET /slow HTTP/1.1"
    assert 0 <= age * 1e9 <= time.monotonic_ns() - before
    for other in (slots[0], slots[2]):
        assert (other.pid, other.state, other.requests, other.in_progress()) == (0, 0, 0, [])


@pytest.mark.parametrize("line", [b"", b"G", b"x" * 95, b"x" * 96, b"x" * 5000])
def test_a_line_is_kept_up_to_its_limit_and_never_spills(line):
    board = Scoreboard(1, lanes=3)
    slot = board.claim()
    slot.begin(b"before", 0)
    slot.begin(line, 1)
    slot.begin(b"after", 2)
    lines = [text for _, text in slot.in_progress()]
    assert lines == ["before", line[: scoreboard.LINE_BYTES].decode(), "after"]
    slot.end(1)
    assert [text for _, text in slot.in_progress()] == ["before", "after"]


def test_a_shorter_line_leaves_nothing_of_the_longer_one():
    slot = Scoreboard(1).claim()
    slot.begin(b"GET /a/long/one HTTP/1.1")
    slot.begin(b"GET /")
    assert [line for _, line in slot.in_progress()] == ["GET /"]


def test_bytes_outside_ascii_are_shown_as_latin_1():
    slot = Scoreboard(1).claim()
    slot.begin(b"GET /\xff")
    assert slot.in_progress()[0][1] == "GET /\xff"


def test_the_oldest_request_comes_first():
    slot = Scoreboard(1, lanes=2).claim()
    slot.begin(b"old", 1)
    slot.begin(b"new", 0)
    assert [line for _, line in slot.in_progress()] == ["old", "new"]


def test_freed_slots_come_back_cleared():
    board = Scoreboard(1)
    slot = board.claim()
    slot.pid, slot.state = 5, READY
    slot.beat()
    slot.begin(b"GET /")
    board.free(slot)
    again = board.claim()
    assert again is slot
    assert (again.heartbeat, again.pid, again.state, again.requests) == (0, 0, BOOTING, 0)
    assert again.in_progress() == []


def test_the_board_grows_when_all_slots_are_taken():
    board = Scoreboard(2)
    slots = [board.claim() for _ in range(7)]
    for number, slot in enumerate(slots):
        slot.pid = number + 1
    assert [slot.pid for slot in slots] == [1, 2, 3, 4, 5, 6, 7]


def test_lanes_changed_later_hold_for_later_slots():
    board = Scoreboard(2, lanes=1)
    old = board.claim()
    board.lanes = 4
    new = board.claim()
    assert (old.lanes, new.lanes) == (1, 4)
    board.free(old)
    assert board.claim().lanes == 4


def test_the_lightest_peer_is_an_idle_one(monkeypatch):
    monkeypatch.setattr(scoreboard, "_now", lambda: 10**12)
    board = Scoreboard(4, lanes=2)
    slots = [board.claim() for _ in range(4)]
    own, *others = slots
    assert own.lightest_peer() is None  # nobody is ready
    for number, slot in enumerate(slots):
        slot.state = READY
        slot.beat()
        slot.connections = 10 * number
    assert own.lightest_peer() == 10
    assert others[2].lightest_peer() == 0
    others[0].begin(b"GET / HTTP/1.1", 0)
    assert own.lightest_peer() == 10  # its other thread is idle
    others[0].begin(b"GET / HTTP/1.1", 1)
    assert own.lightest_peer() == 20
    others[1].state = DRAINING
    assert own.lightest_peer() == 30
    board.free(others[2])
    assert own.lightest_peer() is None


def test_a_silent_worker_is_not_idle(monkeypatch):
    slot = Scoreboard(1).claim()
    slot.state = READY
    assert not slot.is_idle()
    monkeypatch.setattr(scoreboard, "_now", lambda: 10**12)
    slot.beat()
    assert slot.is_idle()
    later = slot.heartbeat + 4_000_000_000
    monkeypatch.setattr(scoreboard, "_now", lambda: later)
    assert not slot.is_idle()
