"""The common kinds of settings, so that a declaration says only what is its own.

A kind has no name and is no setting itself. One that fits a single setting does not belong here.
"""

from __future__ import annotations

from collections.abc import Callable

from cyserve.config.core import Setting
from cyserve.config.validators import (
    validate_bool,
    validate_list_string,
    validate_pos_int,
    validate_seconds,
    validate_string,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Number(Setting):
    """A whole number, 0 or more."""

    meta = "INT"
    validator = validate_pos_int
    type: Callable[[str], Any] = int


class Seconds(Setting):
    """A number of seconds, 0 or more, fractions allowed."""

    meta = "SECONDS"
    validator = validate_seconds
    type = float


class Flag(Setting):
    """Off by default; its flag turns it on."""

    action = "store_true"
    validator = validate_bool
    default = False


class Text(Setting):
    """A string or None."""

    meta = "STRING"
    validator = validate_string


class Texts(Setting):
    """A list of strings; its flag can be repeated."""

    action = "append"
    validator = validate_list_string
    default: list[str] = []  # copied by the validator
