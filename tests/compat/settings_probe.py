"""Prints, as JSON, what the settings of gunicorn or cyserve are and what they make of a value.

    python settings_probe.py PACKAGE < TABLE

PACKAGE is `gunicorn` or `cyserve`, TABLE a JSON object with the lists `values` (Python expressions
that any setting is given) and `words` (texts that any flag is given). It runs with the Python of
the package that it looks at, so it may use nothing but that package and the standard library.
"""

import contextlib
import importlib
import inspect
import io
import json
import sys
import warnings


class Plain:
    """A class to be named or given in the table."""


def one(a):
    """Hooks with one to four parameters, for the table."""


def two(a, b):
    pass


def three(a, b, c):
    pass


def four(a, b, c, d):
    pass


def shown(value):
    """A value as JSON that tells kinds apart: bool, int, float, text, list, tuple, function."""
    if isinstance(value, (list, tuple, set)):
        return [type(value).__name__, *map(shown, value)]
    if isinstance(value, dict):
        return ["dict", *([shown(k), shown(v)] for k, v in value.items())]
    if isinstance(value, type):
        return ["class", value.__name__]
    if callable(value):
        name = getattr(value, "__qualname__", type(value).__qualname__)
        return ["function", name, len(inspect.signature(value).parameters)]
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    return ["other", type(value).__name__]


def outcome(act):
    """What `act()` returns, or that it refuses."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            return {"value": shown(act())}
        except SystemExit as error:
            return {"exit": error.code}
        except Exception as error:
            return {"refused": type(error).__name__}


def given(config, name, value):
    cfg = config.Config()
    cfg.set(name, value)
    return cfg.settings[name].get()


def parsed(config, name, arguments):
    cfg = config.Config()
    value = getattr(cfg.parser().parse_args(arguments), name)
    if value is not None:  # None: the flag was not given
        cfg.set(name, value)
    return cfg.settings[name].get()


def arguments_for(setting, flag, words):
    """Each way to write the flag that tells something about it."""
    if setting.action in {"store_true", "store_const"}:
        return [[flag], [f"{flag}=x"]]
    if not flag.startswith("--"):
        return [[flag, "1"], [f"{flag}1"]]
    ways = [[f"{flag}={word}"] for word in words] + [[flag]]
    return [*ways, [flag, "a", flag, "b"]] if setting.action == "append" else ways


def describe(setting):
    return {
        "class": type(setting).__name__,
        "name": setting.name,
        "section": setting.section,
        "cli": list(setting.cli or ()),
        "action": setting.action,
        "nargs": setting.nargs,
        "const": setting.const,
        "short": bool(setting.short and setting.desc.startswith(setting.short)),
        "default": shown(setting.get()),
    }


def main():
    warnings.simplefilter("ignore")
    config = importlib.import_module(f"{sys.argv[1]}.config")
    table = json.load(sys.stdin)
    scope = {"Plain": Plain, "one": one, "two": two, "three": three, "four": four}
    found = []
    for setting in config.make_settings().values():
        row = describe(setting)
        row["values"] = {
            text: outcome(lambda: given(config, setting.name, eval(text, scope)))
            for text in table["values"]
        }
        row["flags"] = {
            " ".join(way): outcome(lambda: parsed(config, setting.name, way))
            for flag in row["cli"]
            for way in arguments_for(setting, flag, table["words"])
        }
        found.append(row)
    names = [name for name in dir(config) if name.startswith("validate_") or name[0].isupper()]
    json.dump({"settings": found, "names": names}, sys.stdout)


if __name__ == "__main__":
    main()
