"""A lane or number of the scoreboard: what is stored where, and nothing beside it."""

import struct
import sys
import time
from importlib import import_module

import pytest

from cyserve import _accel

COMPILED = _accel.implementation() == "compiled"
LANE = struct.Struct("=96sQQ")


@pytest.fixture(params=["pure", "compiled"] if COMPILED else ["pure"])
def runtime(request):
    return import_module(
        "cyserve._runtime" if request.param == "compiled" else "cyserve._pyruntime"
    )


@pytest.fixture
def memory():
    return memoryview(bytearray(b"\xee" * 256))


def stored(memory, at=64):
    """(line, requests, start) of a lane, the rest of the memory being as it was."""
    assert set(memory[:at]) | set(memory[at + LANE.size :]) <= {0xEE}
    line, requests, start = LANE.unpack_from(memory, at)
    return line.rstrip(b"\0"), requests, start


def new_lane(runtime, memory, at=64):
    memory[at : at + LANE.size] = bytes(LANE.size)
    return runtime.Lane(memory, at)


def test_a_request_and_its_end(runtime, memory):
    lane = new_lane(runtime, memory)
    before = time.monotonic_ns()
    lane.begin(b"GET / HTTP/1.1")
    line, requests, start = stored(memory)
    assert (line, requests) == (b"GET / HTTP/1.1", 1)
    assert before <= start <= time.monotonic_ns()
    lane.end()
    assert stored(memory) == (b"GET / HTTP/1.1", 1, 0)


@pytest.mark.parametrize("size", [0, 1, 95, 96, 97, 5000])
def test_a_line_is_cut_and_replaces_the_one_before(runtime, memory, size):
    lane = new_lane(runtime, memory)
    lane.begin(b"y" * 96)
    lane.begin(b"x" * size)
    assert stored(memory)[:2] == (b"x" * min(size, 96), 2)


def test_another_lane_over_the_same_memory_counts_on(runtime, memory):
    new_lane(runtime, memory).begin(b"a")
    runtime.Lane(memory, 64).begin(b"b")
    assert stored(memory)[:2] == (b"b", 2)


@pytest.mark.parametrize("at", [-8, 4, 256 - LANE.size + 8, 256, 1 << 40])
def test_a_lane_must_fit(runtime, memory, at):
    with pytest.raises(ValueError, match="does not fit"):
        runtime.Lane(memory, at)


def test_lines_are_bytes(runtime, memory):
    lane = new_lane(runtime, memory)
    with pytest.raises((TypeError, struct.error)):
        lane.begin("GET /")


@pytest.mark.parametrize("at", [0, 8, 248])
@pytest.mark.parametrize("number", [0, 1, (1 << 64) - 1])
def test_a_number(runtime, memory, at, number):
    runtime.Number(memory, at).store(number)
    assert int.from_bytes(memory[at : at + 8], sys.byteorder) == number
    assert set(memory[:at]) | set(memory[at + 8 :]) == {0xEE}


@pytest.mark.parametrize("at", [-8, 4, 249, 256, 1 << 40])
def test_a_number_must_fit(runtime, memory, at):
    with pytest.raises(ValueError, match="does not fit"):
        runtime.Number(memory, at)
