"""Prints, as JSON, what the settings of gunicorn or cyserve are and what they make of values.

    python settings_probe.py PACKAGE < TABLE

PACKAGE is `gunicorn` or `cyserve`. TABLE is a JSON object: `values`, Python expressions that every
setting is given; `words`, texts that every flag is given; `derived`, pairs of an expression for a
dict of settings and one that looks at the Config `cfg` with these. The probe runs with the Python
of the package that it looks at, so it imports only that and the standard library.
"""

import contextlib
import functools
import importlib
import inspect
import io
import json
import sys
import warnings


class Plain:
    """A class for the expressions; the functions below have one to four parameters."""


def one(a): ...
def two(a, b): ...
def three(a, b, c): ...
def four(a, b, c, d): ...


SCOPE = {
    "Plain": Plain,
    "functools": functools,
    **{function.__name__: function for function in (one, two, three, four)},
}


def shown(value):
    """A value as JSON that tells kinds apart."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (list, tuple, set)):
        return [type(value).__name__, *map(shown, value)]
    if isinstance(value, dict):
        return ["dict", *([shown(key), shown(item)] for key, item in value.items())]
    if isinstance(value, type):
        return ["class", value.__name__]
    if callable(value):
        name = getattr(value, "__qualname__", type(value).__qualname__)
        return ["function", name, len(inspect.signature(value).parameters)]
    return int(value) if isinstance(value, int) else ["other", type(value).__name__]


def outcome(act, *args):
    """What the call returns, or how it refuses."""
    quiet = io.StringIO()
    with contextlib.redirect_stderr(quiet), contextlib.redirect_stdout(quiet):
        try:
            return {"value": shown(act(*args))}
        except SystemExit as error:
            return {"refused": f"exit {error.code}"}
        except Exception as error:
            return {"refused": type(error).__name__}


def kept(kind, expression):
    """What a setting keeps of the value of the expression."""
    setting = kind()
    setting.set(eval(expression, SCOPE))
    return setting.get()


def parsed(kind, parser, arguments):
    """What a setting keeps of arguments of the command line."""
    setting = kind()
    value = getattr(parser.parse_args(arguments), setting.name)
    if value is not None:  # None: as if the flag had not been given
        setting.set(value)
    return setting.get()


def looked_at(config, settings, expression):
    """The value of an expression about a Config."""
    cfg = config.Config(prog="prog")
    for name, value in eval(settings, SCOPE).items():
        cfg.set(name, value)
    return eval(expression, SCOPE, {"cfg": cfg, "config": config})


def ways(setting, words):
    """Arguments that use the flags of a setting in every way that tells something about them."""
    for flag in setting.cli or ():
        if setting.action in {"store_true", "store_const"}:
            yield from ([flag], [f"{flag}=x"])
        elif not flag.startswith("--"):
            yield from ([flag, "1"], [f"{flag}1"])
        else:
            yield from ([flag], [flag, "a", flag, "b"], *([f"{flag}={word}"] for word in words))


def described(setting, table, parser):
    kind = type(setting)
    return {
        "class": kind.__name__,
        "section": setting.section,
        "cli": list(setting.cli or ()),
        "action": setting.action,
        "nargs": setting.nargs,
        "const": setting.const,
        "default": shown(setting.get()),
        "values": {text: outcome(kept, kind, text) for text in table["values"]},
        "flags": {
            " ".join(way): outcome(parsed, kind, parser, way)
            for way in ways(setting, table["words"])
        },
    }


def main():
    warnings.simplefilter("ignore")
    table = json.load(sys.stdin)
    config = importlib.import_module(f"{sys.argv[1]}.config")
    parser = config.Config().parser()
    found = {
        "settings": {
            name: described(setting, table, parser)
            for name, setting in config.make_settings().items()
        },
        "derived": {
            f"{given} {look}": outcome(looked_at, config, given, look)
            for given, look in table["derived"]
        },
        "names": [name for name in dir(config) if not name.startswith("_")],
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
