"""How long a server takes to its first answer, and what its preloaded workers take of memory.

Both are asked of cyserve and gunicorn alone: other servers have no master that loads the
application for its workers. What is counted are tens of milliseconds and megabytes.
"""

import time
from dataclasses import replace

from benchmarks.load import options, procs
from benchmarks.load.cases import CASES
from benchmarks.load.client import Client
from benchmarks.load.figures import Aim, Sheet
from benchmarks.load.measure import window
from benchmarks.load.running import BenchError, Running, start
from benchmarks.load.scenarios.stage import Stage

KINDS = ("sync", "gthread")
WORKERS = 8
REQUESTS = 10_000
STARTS = 3  # a round
PAGE = replace(CASES["django-page"], workers=WORKERS)


def first_answer(stage: Stage) -> Sheet:
    """From exec to the first answer, a bare application, one worker."""
    sheet = Sheet(
        "first-answer",
        "from exec to the first answer",
        f"hello, one worker; {STARTS} starts a round, each asked until it answers, once a "
        "millisecond. CPU: of the whole process tree until then.",
    )
    names = [f"{server}-{kind}" for kind in KINDS for server in ("cyserve", "gunicorn")]
    wanted = stage.wanted(names)
    for _ in range(stage.plan.rounds * STARTS if wanted else 0):
        for name in wanted:
            if name not in sheet.refused:
                with sheet.guard(name):
                    _start_once(stage, sheet, name)
    for kind in KINDS:
        ours, theirs = f"cyserve-{kind}", f"gunicorn-{kind}"
        pair = (ours, "first answer"), (theirs, "first answer")
        sheet.compare("first answer to gunicorn's", *pair, Aim(at_most=0.6))
    return sheet


def _start_once(stage: Stage, sheet: Sheet, name: str) -> None:
    (entry,) = options.entries([name], stage.args)
    stage.used[name] = entry
    case, where = CASES["hello"], entry.home
    begin = time.monotonic()
    core = stage.plan.server_core
    server = start(entry.server, case, where.python, stage.tmp, core=core, path=where.path)
    try:
        while True:
            try:
                Client(server.port).get()
                break
            except OSError:
                if server.process.poll() is not None or time.monotonic() > begin + 30:
                    raise BenchError(f"{name} did not come up:\n{server.said()}") from None
                time.sleep(0.001)
        spent = time.monotonic() - begin
        sheet.add(name, "first answer", spent * 1000, "ms")
        sheet.add(name, "CPU", procs.tree_run(server.pid) * 1000, "ms")
    finally:
        server.stop()


def preload(stage: Stage) -> Sheet:
    """Eight workers of a Django application that the master has loaded."""
    sheet = Sheet(
        "preload",
        f"{WORKERS} preloaded Django workers",
        f"--preload, Django's page with template and ORM; memory of the process tree after "
        f"{REQUESTS:,} requests or more by wrk. RSS counts shared pages in each process.",
    )
    names = [f"{server}-{kind}" for kind in KINDS for server in ("cyserve", "gunicorn")]
    for name in names:  # one after another: what servers share with each other is not counted
        with stage.servers(
            sheet, [name], "--preload", app=PAGE.app, module=PAGE.module, workers=WORKERS
        ) as servers:
            for _, server in stage.turns(sheet, servers, rounds=1):
                with sheet.guard(name):
                    _fill(stage, sheet, name, server)
    for kind in KINDS:
        ours, theirs = (f"cyserve-{kind}", "PSS"), (f"gunicorn-{kind}", "PSS")
        sheet.compare("PSS to gunicorn's", ours, theirs, Aim(at_most=0.75))
    return sheet


def _fill(stage: Stage, sheet: Sheet, name: str, server: Running) -> None:
    _, before = procs.memory(server.pid)
    answered = 0.0
    while answered < REQUESTS:
        answered += window(PAGE, server, replace(stage.plan, seconds=5), stage.tmp)["requests"]
    rss, pss = procs.memory(server.pid)
    sheet.add(name, "PSS at first", before / 1e6, "MB")
    sheet.add(name, "PSS", pss / 1e6, "MB")
    sheet.add(name, "RSS", rss / 1e6, "MB")
