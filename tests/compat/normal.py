"""Puts what a program says into a form that is the same in every run, and of both programs.

Processes, ports, times and directories become names; a traceback can be cut to what the user's own
code has to do with it, as cyserve shows it. Nothing here knows a test.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_HEADER = r"^Traceback \(most recent call last\):\n"
_CHAINED = r"\nDuring handling of the above exception, another exception occurred:\n\n"
_THEIRS = (
    r'(?:<frozen |[^"]*/importlib/__init__\.py|[^"]*/bin/gunicorn"|[^"]*/(?:gunicorn|cyserve)/)'
)
_FRAME = r", line \d+, in .*\n(?:    .*\n)*"


@dataclass(frozen=True)
class Outcome:
    """What a command line gave."""

    code: int
    stdout: str
    stderr: str


def settled(text: str, directory: Path) -> str:
    """`text` without what differs from run to run. Marks under a line of source go as well: which
    there are depends on Python's version."""
    text = text.replace(str(directory), "DIR")
    text = re.sub(r"(?m)^ +[\^~]+\n", "", text)
    text = re.sub(r"(?m)^\[[-: +\d]+\] \[\d+\] ", "[T] [P] ", text)
    text = re.sub(r"(pid: ?)\d+", r"\1PID", text)
    text = re.sub(r"\b0x[0-9a-f]+", "0xADDRESS", text)
    text = re.sub(r"(?<=127\.0\.0\.1)(:|', )\d+", r"\1PORT", text)
    text = re.sub(r"(?m)(Listening at: .*) \(\d+\)$", r"\1 (PID)", text)
    return re.sub(r"\b(gunicorn 27\.0\.1|cyserve \d+\.\d+\.\d+)\b", "SERVER", text)


def own_traceback(text: str) -> str:
    """`text` with each traceback cut to the frames from the user's own first one on, and
    without the exceptions before the last one. A traceback without a frame loses its header."""
    text = re.sub(rf"(?m){_HEADER}(?:.*\n)*?{_CHAINED}", "", text)
    frames = rf'((?:  File "{_THEIRS}[^"\n]*"?{_FRAME})+)'
    text = re.sub(rf"(?m)({_HEADER}){frames}", r"\1", text)
    return re.sub(rf'(?m){_HEADER}(?!  File ".*", line \d+, in )', "", text)


def own_frames(text: str) -> str:
    """The same, but with the user's own frames alone. `text` is `settled` already."""
    text = re.sub(rf"(?m){_HEADER}(?:.*\n)*?{_CHAINED}", "", text)
    return re.sub(rf'(?m)^  File "(?!DIR)[^"\n]*"{_FRAME}', "", text)
