"""What preloaded workers take of memory once they have worked.

Asked of cyserve and gunicorn alone: other servers have no master that loads the application for its
workers. The server under test is the only one that is up.
"""

from dataclasses import replace

from benchmarks.load import procs
from benchmarks.load.cases import CASES
from benchmarks.load.figures import Aim, Sheet
from benchmarks.load.measure import window
from benchmarks.load.running import Running
from benchmarks.load.scenarios.stage import Stage

KINDS = ("sync", "gthread")
WORKERS = 8
REQUESTS = 10_000
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
    answered = 0.0
    while answered < REQUESTS:
        answered += window(PAGE, server, replace(stage.plan, seconds=5), stage.tmp)["requests"]
    rss, pss = procs.memory(server.pid)
    sheet.add(name, "PSS at first", before / 1e6, "MB")
    sheet.add(name, "PSS", pss / 1e6, "MB")
    sheet.add(name, "RSS", rss / 1e6, "MB")
