"""The parser of the command line: argparse's, with a flag for each setting.

Loaded only where `command_line.usual` gives nothing, and by programs of users.
"""

from __future__ import annotations

import functools
from argparse import SUPPRESS, Action, ArgumentParser, HelpFormatter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, NoReturn

    from cyserve.config.core import Setting


class CommandLine(ArgumentParser):
    """An argument parser whose complaint is one line; `source` says where the arguments are."""

    source = ""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"Error: {self.source}{message} (see {self.prog} --help)\n")


class _Version(Action):
    """-v: the version and which kernel runs; looked up only when asked for."""

    def __call__(self, parser: ArgumentParser, *args: Any) -> NoReturn:
        # A kernel that cannot be loaded must not break the import of the settings.
        from cyserve import __version__, _accel  # noqa: PLC0415

        print(f"{parser.prog} (version {__version__}, {_accel.implementation()})")
        parser.exit()


def make(settings: Iterable[Setting], usage: str | None, prog: str) -> CommandLine:
    """A parser with a flag for every one of `settings` that has one."""
    # argparse tries every option's help on a formatter. One without a width of its own would
    # load shutil, to look at the terminal, and that loads every compressor.
    narrow = functools.partial(HelpFormatter, width=80)
    parser = CommandLine(usage=usage, prog=prog, formatter_class=narrow)
    parser.add_argument(
        "-v",
        "--version",
        action=_Version,
        nargs=0,
        default=SUPPRESS,
        help="show the version and which kernel runs, and exit",
    )
    parser.add_argument("args", nargs="*", help=SUPPRESS)
    groups: dict[str, Any] = {}
    for setting in sorted(settings, key=lambda s: s.order):
        title = setting.section or "Other"
        if setting.cli and title not in groups:
            groups[title] = parser.add_argument_group(title)
        setting.add_option(groups.get(title))
    parser.formatter_class = HelpFormatter
    return parser
