"""Spew: prints each line of Python before it runs, for `--spew`. For the desperate.

Lines look like `module:number: source`. Every thread that starts later is traced too. Compiled
modules have no lines; CYSERVE_NO_EXTENSIONS=1 shows those of the server as well. Nothing that
fails here may reach the program that is looked at.
"""

from __future__ import annotations

import linecache
import sys
import threading
from collections.abc import Collection
from types import FrameType

from cyserve._pattern import Pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ("Spew", "spew", "unspew")

_NAME = Pattern(r"[^\W\d]\w*")


class Spew:
    """A trace function.

    trace_names: names of the modules to show; all if None.
    show_values: print a further line with the values of the names in each line.
    """

    def __init__(
        self, trace_names: Collection[str] | None = None, show_values: bool = True
    ) -> None:
        self.trace_names = trace_names
        self.show_values = show_values

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        """What the interpreter calls; see sys.settrace."""
        if event == "line":
            module = frame.f_globals.get("__name__", "[unknown]")
            if self.trace_names is None or module in self.trace_names:
                try:
                    self._print(module, frame)
                except (OSError, ValueError):  # nobody reads any more
                    unspew()
                    return None
        return self

    def _print(self, module: str, frame: FrameType) -> None:
        number = frame.f_lineno
        line = linecache.getline(frame.f_code.co_filename, number, frame.f_globals).rstrip()
        text = f"{module}:{number}: {line}\n"
        if self.show_values and (values := self._values(line, frame)):
            text += f"\t{values}\n"
        # At once, and in one piece: what waits in the buffer would be printed again by each fork.
        print(text, end="", flush=True)

    def _values(self, line: str, frame: FrameType) -> str:
        found = []
        for name in dict.fromkeys(_NAME.findall(line)):
            for names in (frame.f_locals, frame.f_globals):
                if name in names:
                    found.append(f"{name}={_shown(names[name])}")
                    break
        return " ".join(found)


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception as exc:
        return f"<{type(value).__name__}: {type(exc).__name__} in repr>"


def spew(trace_names: Collection[str] | None = None, show_values: bool = False) -> None:
    """Print each line of Python that this thread, and each that starts later, is about to run.

    The arguments are those of `Spew`.
    """
    trace = Spew(trace_names, show_values)
    threading.settrace(trace)
    sys.settrace(trace)


def unspew() -> None:
    """Stop that, in this thread and for those to come."""
    threading.settrace(None)
    sys.settrace(None)
