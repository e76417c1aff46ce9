"""Picks the compiled kernel or its pure-Python twin: the only module that knows there are two.

`parser` and `io` are bound once, at import. CYSERVE_NO_EXTENSIONS=1 forces the twins,
CYSERVE_REQUIRE_EXTENSIONS=1 refuses them. An extension that is present but broken is an error,
never a silent fallback.
"""

import os
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

__all__ = ("implementation", "io", "parser", "select")


def _switch(name: str) -> bool:
    value = os.environ.get(name, "")
    if value not in {"", "0", "1"}:
        raise ImportError(f"{name}={value!r}: allowed are 0 and 1")
    return value == "1"


_forbidden = _switch("CYSERVE_NO_EXTENSIONS")
_required = _switch("CYSERVE_REQUIRE_EXTENSIONS")
if _forbidden and _required:
    raise ImportError("CYSERVE_NO_EXTENSIONS and CYSERVE_REQUIRE_EXTENSIONS are both set")
