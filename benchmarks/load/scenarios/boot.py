"""How soon a server answers after it has been started.

Servers are started in turn and end before the next one begins, so each has the core to itself. What
the interpreter takes for its own start is the same for all of them and part of the figure.
"""

import sys

from benchmarks.load.figures import Aim, Sheet
from benchmarks.load.scenarios.stage import Stage

STARTS = 15


def boot(stage: Stage) -> Sheet:
    """From exec to the first answer, with a bare application."""
    sheet = Sheet(
        "boot",
        f"from exec to the first answer, {STARTS} starts in turn",
        "A bare application and one worker. The client asks every 2 ms until it is answered.",
    )
    ours, theirs = "cyserve-gthread", "gunicorn-gthread"
    for number in range(STARTS):
        for name, seconds in stage.first_answers(sheet, [ours, theirs]).items():
            sheet.add(name, "first answer", seconds * 1000, "ms")
        print(f"boot: start {number + 1} of {STARTS}", file=sys.stderr)
    sheet.compare(
        "by gunicorn's", (ours, "first answer"), (theirs, "first answer"), Aim(at_most=0.6)
    )
    return sheet
