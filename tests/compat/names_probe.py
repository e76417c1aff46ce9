"""Prints, as JSON, what each module of gunicorn defines: names, and those of its classes.

    python names_probe.py PACKAGE MODULE...

Only what a module defines itself, without what it imports, and without names that begin with an
underscore but those given by KEPT. It runs with the Python of the package that it looks at, so it
imports only that and the standard library.
"""

import enum
import importlib
import json
import sys
import types

#: Overridden by loggers of others, underscore or not.
KEPT = {
    "_set_handler",
    "_get_gunicorn_handler",
    "_set_syslog_handler",
    "_get_user",
    "_setproctitle",
}


def public(names):
    return sorted(name for name in names if not name.startswith("_") or name in KEPT)


def defined(module):
    for name in public(vars(module)):
        value = getattr(module, name)
        if isinstance(value, types.ModuleType):
            continue
        if callable(value) and getattr(value, "__module__", None) is not None:
            if value.__module__ != module.__name__ or value.__name__ != name:
                continue  # it is imported, or another name of something
        yield name
        if isinstance(value, type) and not issubclass(value, (BaseException, enum.Enum)):
            # Of settings the names of the classes are enough.
            if not hasattr(value, "section") or name == "Setting":
                yield from (f"{name}.{inner}" for inner in public(vars(value)))


def main(package, modules):
    found = {}
    for name in modules:
        module = importlib.import_module(f"{package}.{name}" if name else package)
        found[name] = list(defined(module))
    json.dump(found, sys.stdout)


main(sys.argv[1], sys.argv[2:])
