"""What preloaded workers take of memory once they have worked.

Asked of cyserve and gunicorn alone: other servers have no master that loads the application for its
workers. The server under test is the only one that is up.
"""

from dataclasses import replace

from benchmarks.load import procs, wrk
from benchmarks.load.cases import CASES
from benchmarks.load.figures import Aim, Sheet
from benchmarks.load.running import BenchError, Running
from benchmarks.load.scenarios.stage import Stage

KINDS = ("sync", "gthread")
WORKERS = 8
REQUESTS = 10_000
WINDOWS = 60  # at most
PAGE = replace(CASES["django-page"], workers=WORKERS)


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
    plan, answered, late = stage.plan, 0, 0
    for _ in range(WINDOWS):
        counts = wrk.run(
            PAGE,
            server.port,
            stage.tmp,
            cores={plan.server_core, plan.client_core},
            seconds=5,
            connections=plan.connections,
            late=True,
        )
        answered, late = answered + counts["requests"], late + counts["late"]
        if answered >= REQUESTS:
            break
    else:
        raise BenchError(f"only {answered} requests in {WINDOWS} windows of 5 s")
    rss, pss = procs.memory(server.pid)
    sheet.add(name, "answered after 2 s", late, "requests")
    sheet.add(name, "PSS at first", before / 1e6, "MB")
    sheet.add(name, "PSS", pss / 1e6, "MB")
    sheet.add(name, "RSS", rss / 1e6, "MB")
