"""Logging configurations of the user's: a dict, a JSON file or an ini file for logging.config.

May not be done here: handlers of the server's own (glogging.py), undoing what went wrong
(log_state.py).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ("CONFIG_DEFAULTS", "load")

#: What `logconfig_dict` and `logconfig_json` are laid over, key by top-level key.
CONFIG_DEFAULTS: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {
        "gunicorn.error": {
            "level": "INFO",
            "handlers": ["error_console"],
            "propagate": True,
            "qualname": "gunicorn.error",
        },
        "gunicorn.access": {
            "level": "INFO",
            "handlers": ["console"],
            "propagate": True,
            "qualname": "gunicorn.access",
        },
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "generic",
            "stream": "ext://sys.stdout",
        },
        "error_console": {
            "class": "logging.StreamHandler",
            "formatter": "generic",
            "stream": "ext://sys.stderr",
        },
    },
    "formatters": {
        "generic": {
            "format": "%(asctime)s [%(process)d] [%(levelname)s] %(message)s",
            "datefmt": "[%Y-%m-%d %H:%M:%S %z]",
            "class": "logging.Formatter",
        }
    },
}


def load(cfg: Any, warn: Callable[..., None]) -> None:
    """Apply logconfig_dict, else logconfig_json, else logconfig.

    warn: logs what is odd but no error. Raises RuntimeError with a text for the user.
    """
    if not (cfg.logconfig_dict or cfg.logconfig_json or cfg.logconfig):
        return
    from logging.config import dictConfig, fileConfig  # noqa: PLC0415 - it loads socketserver

    try:
        if cfg.logconfig_dict:
            source = "logconfig_dict"
            dictConfig(_over_defaults(cfg.logconfig_dict))
        elif cfg.logconfig_json:
            source = f"logconfig_json = {cfg.logconfig_json!r}"
            if os.path.exists(cfg.logconfig_json):
                import json  # noqa: PLC0415 - rarely needed

                with open(cfg.logconfig_json, encoding="utf-8") as file:
                    dictConfig(_over_defaults(json.load(file)))
            else:
                warn("log config %r not found", cfg.logconfig_json)
        elif cfg.logconfig:
            source = f"logconfig = {cfg.logconfig!r}"
            if not os.path.exists(cfg.logconfig):
                raise FileNotFoundError("there is no such file")
            defaults = {
                "__file__": cfg.logconfig,
                "here": os.path.dirname(os.path.abspath(cfg.logconfig)),
            }
            fileConfig(cfg.logconfig, defaults=defaults, disable_existing_loggers=False)
    except Exception as exc:
        cause = f" ({exc.__cause__})" if exc.__cause__ else ""
        text = f"{type(exc).__name__}: {exc}" if isinstance(exc, KeyError) else f"{exc}"
        raise RuntimeError(f"{source}: {text}{cause}") from None


def _over_defaults(config: Any) -> dict[str, Any]:
    if not isinstance(config, dict):
        raise TypeError("the top level is not an object")
    from copy import deepcopy  # noqa: PLC0415 - rarely needed

    return {**deepcopy(CONFIG_DEFAULTS), **config}


def _submodule(name: str) -> ModuleType:
    """`logging.handlers` and `logging.config` for code that has only imported `logging`.

    Under gunicorn that works, since it loads both; here they are loaded when they are needed.
    """
    if name in {"config", "handlers"}:
        return import_module(f"logging.{name}")
    raise AttributeError(f"module 'logging' has no attribute {name!r}")


if hasattr(logging, "__getattr__"):  # somebody else's, the library's own perhaps
    import_module("logging.config")
    import_module("logging.handlers")
else:
    vars(logging)["__getattr__"] = _submodule
