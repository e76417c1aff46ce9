"""--preload: the application is loaded in the master, and what it takes stays shared."""

import signal
import sys

import pytest
from harness import differs
from http_client import request


def answer(server):
    return [int(word) for word in request(server.address).text.split()]


# Of the module that a config file runs as, with all that it holds, only the collector can find that
# nobody needs it any more. At a reload it is still in use, and so is the one before.
CYCLES = """
import sys
class Cycle:
    def __init__(self):
        self.me = self
        sys.cycles = getattr(sys, "cycles", 0) + 1
    def __del__(self):
        sys.cycles -= 1
cycle = Cycle()
def pre_fork(server, worker):
    server.log.info("cycles %s", sys.cycles)
"""


@differs("preload-frozen")
@pytest.mark.skipif(sys.implementation.name != "cpython", reason="PyPy has no gc.freeze")
def test_what_was_preloaded_is_frozen_and_garbage_is_not(start_server):
    server = start_server("preloaded:app", "--preload", config=CYCLES)
    for _ in range(3):
        loaded_by, parent, frozen = answer(server)
        assert loaded_by == parent == server.pid
        assert frozen > 1000
        old = server.worker_pids()
        server.signal(signal.SIGHUP)
        server.wait_workers(1, but_not=old)
    assert server.wait_log(r"cycles (\d)", count=4) == ["1", "2", "3", "3"]


def test_nothing_is_frozen_without_preload(start_server):
    server = start_server("preloaded:app")
    loaded_by, parent, frozen = answer(server)
    assert loaded_by == server.worker_pids()[0]
    assert frozen == 0


def test_hup_keeps_the_application_and_says_so(start_server):
    server = start_server("preloaded:app", "--preload")
    before = answer(server)
    old = server.worker_pids()
    server.signal(signal.SIGHUP)
    server.wait_workers(1, but_not=old)
    assert answer(server)[0] == before[0] == server.pid
    server.wait_log("preload_app: the application stays as it was loaded; USR2 loads it anew")
