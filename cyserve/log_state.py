"""The logging configuration of the whole process, remembered so that it can be put back.

logging.config is not transactional: it throws the old configuration away before it looks at the
new one. This room makes a failed reload harmless. May not be done here: anything about what the
server logs or where to.
"""

from __future__ import annotations

import contextlib
import logging
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ("LoggingState", "loggers")


def loggers() -> list[logging.Logger]:
    """Return the root logger and every logger that exists in this process."""
    known = logging.root.manager.loggerDict.values()
    return [logging.root, *(logger for logger in known if isinstance(logger, logging.Logger))]


class LoggingState:
    """A picture of all loggers, taken before something is changed.

    Between making it and calling keep() or restore() logging.config closes no existing handler:
    it does not see them.
    """

    def __init__(self) -> None:
        self.loggers = [
            (
                logger,
                logger.handlers[:],
                logger.filters[:],
                logger.level,
                logger.propagate,
                logger.disabled,
            )
            for logger in loggers()
        ]
        # The standard library's own lists, which logging.config empties after closing what they
        # name. There is no public way to keep them.
        module = vars(logging)
        self._known: list[weakref.ref[logging.Handler]] = module["_handlerList"]
        self._names: Any = module["_handlers"]
        self._was_known = self._known[:]
        self._was_named = dict(self._names)
        self._known.clear()

    def restore(self) -> None:
        """Put everything back; handlers made since are closed."""
        made = [handler for handler in (ref() for ref in self._known) if handler is not None]
        for logger, handlers, filters, level, propagate, disabled in self.loggers:
            logger.handlers[:] = handlers
            logger.filters[:] = filters
            logger.setLevel(level)
            logger.propagate = propagate
            logger.disabled = disabled
        for handler in made:
            _close(handler)
        self._names.clear()
        self._names.update(self._was_named)
        self._known[:] = self._was_known

    def keep(self) -> None:
        """Accept the changes; handlers that no logger uses any more are closed."""
        self._known[:0] = self._was_known
        used = {id(handler) for logger in loggers() for handler in logger.handlers}
        for _, handlers, *_ in self.loggers:
            for handler in handlers:
                if id(handler) not in used:
                    _close(handler)


def _close(handler: logging.Handler) -> None:
    # A full disk, or a handler whose making failed half-way, may not stop a reload.
    with contextlib.suppress(Exception):
        handler.close()
