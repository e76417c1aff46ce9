"""What threads cost and what they are good for: hello, an application that sleeps, one that stops.

wrk is the client everywhere: its keep-alive connections ask again as soon as they are answered, so
the server always has a request to serve, and all figures of latency are those under full load.
"""

import subprocess
import sys
import threading
from functools import partial

from benchmarks.load import measure
from benchmarks.load.cases import Case
from benchmarks.load.client import timed
from benchmarks.load.figures import Aim, Sheet
from benchmarks.load.scenarios.stage import Stage

OURS, OURS_4 = "cyserve-gthread", "cyserve-gthread-4"
THEIRS, THEIRS_4 = "gunicorn-gthread", "gunicorn-gthread-4"
CPU = "CPU/request"
ALONE = "threads alone"
SAME = Case("same", "all give the same answer")


def hello(stage: Stage) -> Sheet:
    """One thread and four, beside the servers written in C and gunicorn."""
    sheet = Sheet(
        "hello",
        f"hello, {stage.plan.connections} keep-alive connections",
        "wrk; CPU of the process tree by the answers that wrk counted. -4: with four threads.",
    )
    _throughput(stage, sheet, [OURS, OURS_4, "fastwsgi", "bjoern", THEIRS, THEIRS_4])
    sheet.compare("CPU to 1 thread", (OURS_4, CPU), (OURS, CPU), Aim(at_most=1.15))
    sheet.compare("p99 to 1 thread", (OURS_4, "p99"), (OURS, "p99"), Aim(at_most=2))
    sheet.compare("CPU to fastwsgi", (OURS, CPU), ("fastwsgi", CPU), Aim(at_most=1.1))
    sheet.compare("CPU to cyserve", (THEIRS, CPU), (OURS, CPU), Aim(at_least=10))
    sheet.compare("CPU to cyserve", (THEIRS_4, CPU), (OURS_4, CPU), Aim(at_least=10))
    return sheet


def gevent(stage: Stage) -> Sheet:
    """The same request, served by greenlets."""
    sheet = Sheet(
        "gevent", f"hello with gevent, {stage.plan.connections} keep-alive connections", "wrk."
    )
    _throughput(stage, sheet, ["cyserve-gevent", "gunicorn-gevent"])
    to = ("gunicorn-gevent", CPU)
    sheet.compare("CPU to gunicorn", ("cyserve-gevent", CPU), to, Aim(at_most=0.35))
    return sheet


def _throughput(stage: Stage, sheet: Sheet, names: list[str]) -> None:
    with stage.servers(sheet, names, app="hello") as servers:
        for name, server in servers.items():
            with sheet.guard(name):
                first = next(iter(servers.values()))
                both = {running.server.name: running.answer(SAME) for running in (first, server)}
                measure.check_answers(both)
        stage.warm_up(sheet, servers)
        for name, server in stage.turns(sheet, servers):
            with sheet.guard(name):
                counts = stage.wrk(server)
                sheet.add(name, CPU, counts["cpu_us"], "µs")
                sheet.add(name, "rate", counts["rate"], "/s")
                for figure in ("p50", "p99", "p999"):
                    label = "p99.9" if figure == "p999" else figure
                    sheet.add(name, label, counts[f"{figure}_us"] / 1000, "ms")


def _sleeping(stage: Stage, milliseconds: int, threads: int, connections: int, aim: float) -> Sheet:
    """An application that sleeps: the rate, to that of threads which do nothing else."""
    sheet = Sheet(
        f"sleep-{milliseconds}ms",
        f"an application that sleeps {milliseconds} ms, {threads} threads, "
        f"{connections} connections",
        f"wrk. The ideal is {threads} / ({milliseconds} ms + the CPU of one hello on that server, "
        f"measured in the same round). {ALONE}: as many threads in Python that do nothing but "
        f"sleep, of {threads} / {milliseconds} ms; what they lack no server can make good.",
    )
    names = ["cyserve-gthread", "gunicorn-gthread"]
    with stage.servers(sheet, names, "--threads", str(threads)) as servers:
        stage.warm_up(sheet, servers)
        for name, server in stage.turns(sheet, servers):
            with sheet.guard(name):
                quick = stage.wrk(server, connections=connections, seconds=1)
                slow = stage.wrk(server, f"/sleep/{milliseconds}", connections=connections)
                ideal = threads / (milliseconds / 1e3 + quick["cpu_us"] / 1e6)
                sheet.add(name, "rate", slow["rate"], "/s")
                sheet.add(name, "of the ideal", slow["rate"] / ideal)
                sheet.add(name, "p99", slow["p99_us"] / 1000, "ms")
        for _ in range(stage.plan.rounds if servers else 0):
            rate = _sleeping_alone(milliseconds / 1e3, threads, stage.plan.server_core)
            sheet.add(ALONE, "rate", rate, "/s")
            sheet.add(ALONE, "of the ideal", rate / (threads / (milliseconds / 1e3)))
    sheet.aim("cyserve-gthread", "of the ideal", Aim(at_least=aim))
    return sheet


def _sleeping_alone(seconds: float, threads: int, core: int) -> float:
    """Sleeps per second of threads that do nothing else."""
    code = (
        "import os, threading, time\n"
        f"os.sched_setaffinity(0, {{{core}}})\n"
        "naps = []\n"
        "def nap():\n"
        "    while time.monotonic() < over:\n"
        f"        time.sleep({seconds}); naps.append(1)\n"
        f"crew = [threading.Thread(target=nap) for _ in range({threads})]\n"
        "begin = time.monotonic(); over = begin + 0.5\n"
        "[thread.start() for thread in crew]; [thread.join() for thread in crew]\n"
        "print(len(naps) / (time.monotonic() - begin))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


sleep_1 = partial(_sleeping, milliseconds=1, threads=4, connections=32, aim=0.9)
sleep_20 = partial(_sleeping, milliseconds=20, threads=32, connections=64, aim=0.95)


def stuck(stage: Stage) -> Sheet:
    """Hello while one of four threads sleeps for five seconds."""
    sheet = Sheet(
        "stuck",
        "one request sleeps 5 s in one of 4 threads",
        f"wrk asks for hello on {stage.plan.connections} connections, for 2 s before that request "
        "and for 3 s during it.",
    )
    with stage.servers(sheet, [OURS_4, THEIRS_4]) as servers:
        stage.warm_up(sheet, servers)
        sleepers: dict[str, threading.Thread] = {}
        for name, server in stage.turns(sheet, servers):
            with sheet.guard(name):
                if name in sleepers:
                    sleepers[name].join()
                normal = stage.wrk(server, seconds=2)
                sleeper = threading.Thread(target=timed, args=(server.port, "/sleep/5000"))
                sleeper.start()
                sleepers[name] = sleeper
                beside = stage.wrk(server, seconds=3)
                sheet.add(name, "p99 normally", normal["p99_us"] / 1000, "ms")
                sheet.add(name, "p99 beside it", beside["p99_us"] / 1000, "ms")
                sheet.add(name, "p99 to normal", beside["p99_us"] / normal["p99_us"])
                sheet.add(name, "rate to normal", beside["rate"] / normal["rate"])
        for sleeper in sleepers.values():
            sleeper.join()
    sheet.aim(OURS_4, "p99 to normal", Aim(at_most=3))
    return sheet
