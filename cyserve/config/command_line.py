"""The command line: argparse's parser for it, and a short way to read the usual one.

The parser knows a flag for each setting, and says what is wrong. It takes as long to load and to
make as the whole configuration does, so a command line on which everything is written out, as on
nearly all, is read without: `usual` gives what the parser would, or nothing.
"""

from __future__ import annotations

from types import SimpleNamespace

from cyserve.config.core import Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

#: Where settings are declared that are known to be added to a parser as they say.
_OURS = "cyserve.config."


def usual(words: Sequence[str], settings: Mapping[str, Setting]) -> SimpleNamespace | None:
    """What a parser of `settings` makes of `words`, if that is plain: None if it may not be.

    Plain are whole flags of ours with values that no flag begins like, and names in one place.
    """
    flags: dict[str, Setting] = {}
    for setting in settings.values():
        if not type(setting).__module__.startswith(_OURS):
            return None
        for flag in setting.cli or ():
            flags[flag] = setting
    found: dict[str, Any] = {str(s.name): None for s in flags.values()}
    names: list[str] = []
    ended = False  # there were names already, and a flag behind them
    rest = iter(words)
    for word in rest:
        if not _is_flag(word):
            if ended:
                return None
            names.append(word)
            continue
        ended = bool(names)
        flag, joined, value = word.partition("=") if word.startswith("--") else (word, "", "")
        known = flags.get(flag)
        if known is None or not _take(known, value if joined else None, rest, found):
            return None
    return SimpleNamespace(**found, args=names)


def _is_flag(word: str) -> bool:
    return len(word) > 1 and word[0] == "-"


def _take(setting: Setting, value: str | None, rest: Iterable[str], found: dict[str, Any]) -> bool:
    """Note what a flag says; False if that is not plain."""
    action, name = setting.action or "store", str(setting.name)
    if action in {"store_true", "store_const"}:
        found[name] = True if action == "store_true" else setting.const
        return value is None
    if action not in {"store", "append"} or setting.nargs is not None or value == "":
        return False
    if value is None:
        value = next(iter(rest), None)
        if value is None or _is_flag(value):
            return False
    try:
        made = (setting.type or str)(value)
    except Exception:  # the parser says why
        return False
    found[name] = [*(found[name] or ()), made] if action == "append" else made
    return True
