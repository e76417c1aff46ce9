"""A regular expression that is compiled when it is first used.

Ground floor. Compiling costs a tenth of a millisecond or more, and most of ours are for what most
servers never see. For constants of modules that every server loads; names that users know are
`re.Pattern` objects as before.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, AnyStr


class Pattern:
    """Stands for `re.compile(text, flags)`, with the same methods.

    A method is an attribute from its first use on, so that each further one costs nothing more.
    """

    def __init__(self, text: AnyStr, flags: re.RegexFlag | int = 0) -> None:
        self._arguments: tuple[Any, re.RegexFlag | int] = (text, flags)

    def __getattr__(self, name: str) -> Any:
        value = getattr(re.compile(*self._arguments), name)
        setattr(self, name, value)
        return value
