"""The end of a worker that is told to stop more than once, as by Ctrl-C: by terminal and master."""

from __future__ import annotations

import os
from signal import SIGINT

import pytest

CONFIG = """
import os, signal, time

MASTER = os.getpid()

class Last:
    # Goes when the modules do: after the interpreter has given up its signal handlers.
    def __del__(self, getpid=os.getpid, kill=os.kill, QUIT=signal.SIGQUIT, TTIN=signal.SIGTTIN):
        if getpid() != MASTER:
            kill(getpid(), TTIN)
            kill(getpid(), QUIT)

last = Last()

def worker_int(worker):
    os.kill(os.getpid(), signal.SIGQUIT)
    worker.log.info("worker_int")

def worker_exit(server, worker):
    os.kill(os.getpid(), signal.SIGQUIT)
    time.sleep(0.2)  # longer than a worker takes to leave by SIGQUIT
    worker.log.info("worker_exit is over")
"""


@pytest.mark.parametrize("kind", ["sync", "gthread", "gevent", "gevent_pywsgi", "tornado"])
def test_another_stop_breaks_nothing_off(start_server, kind):
    if kind not in {"sync", "gthread"}:
        pytest.importorskip(kind.partition("_")[0])
    server = start_server("plain:app", "--worker-class", kind, config=CONFIG)
    os.killpg(server.pid, SIGINT)
    assert server.wait_exit() == 0
    log = server.log_text()
    assert log.count("worker_int") == 1
    assert "worker_exit is over" in log
    assert "was sent" not in log
    assert "Traceback" not in log
