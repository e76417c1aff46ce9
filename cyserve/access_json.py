"""The access log as JSON: one object per line, its fields typed, whatever the client sends.

`access_log_format = "json"` gives the fields of DEFAULT, `"json:FIELD,FIELD,..."` those that are
named. As in access_log.py a format is turned once into a function that computes only what it
shows, and the same writer puts its lines out. Lines are plain ASCII: no terminal, encoding or
log shipper can be led astray by them.

May not be done here: writing, deciding what is logged, the %-format.
"""

import functools
import json
import os
import re
import time
from collections.abc import Mapping
from datetime import timedelta
from json.encoder import encode_basestring_ascii as encode
from math import isfinite
from typing import Any, NamedTuple

from cyserve.access_log import basic_user, field_list
from cyserve.access_writer import Line

__all__ = ("DEFAULT", "FIELDS", "compile_json", "json_from_atoms", "parse")


class Field(NamedTuple):
    """What a field shows: source of an expression, the atom that it equals, whether it is raw.

    The value of a raw field is written as it is, any other one as a JSON string.
    """

    source: str
    atom: str = ""
    raw: bool = False


#: Name -> field. None stands for what is absent and is written as null.
FIELDS = {
    "time": Field("stamp[1] + thousandths[int((now - second) * 1000)]", raw=True),
    "remote_addr": Field("get('REMOTE_ADDR') or None", "h"),
    "remote_user": Field("basic_user(environ) if 'HTTP_AUTHORIZATION' in environ else None", "u"),
    # "-" is what stands there for a request that was refused before its line could be read.
    "method": Field("None if (v := get('REQUEST_METHOD')) == '-' else v", "m"),
    "target": Field("None if (v := get('RAW_URI')) == '-' else v", "r"),
    "path": Field("None if (v := get('PATH_INFO')) == '-' else v", "U"),
    "query": Field("get('QUERY_STRING')", "q"),
    "protocol": Field("None if (v := get('SERVER_PROTOCOL')) == '-' else v", "H"),
    "scheme": Field("get('wsgi.url_scheme')"),
    "host": Field("get('HTTP_HOST')"),
    "status": Field("status_number(resp.status)", "s", raw=True),
    "bytes_sent": Field("v if type(v := resp.sent) is int else None", "B", raw=True),
    "duration": Field("f'{request_time.total_seconds():.6f}'", raw=True),
    "referer": Field("get('HTTP_REFERER')", "f"),
    "user_agent": Field("get('HTTP_USER_AGENT')", "a"),
    "pid": Field("stamp[2]", raw=True),
}

#: What `json` alone shows.
DEFAULT = tuple(name for name in FIELDS if name not in {"path", "query", "scheme", "host"})

_HEADER = re.compile(r"\{([^{}]+)\}([ioe])")
_SOURCES = {"i": "field_list(req)", "o": "field_list(resp)", "e": "environ.items()"}
# The text of a time, up to its fraction, is made once a second, and so is the pid asked for (only
# workers log requests, and they do not fork). One tuple, for the threads' sake.
_STAMP = (
    "global stamp",
    "second = (now := clock()) // 1.0",
    "if stamp[0] != second:",
    "    stamp = (second, strftime('\"%Y-%m-%dT%H:%M:%S', gmtime(second)), getpid())",
)
_THOUSANDTHS = tuple(f'.{n:03d}Z"' for n in range(1000))


def parse(template: str) -> dict[str, Field]:
    """Read `json` or `json:FIELD,...` into key -> field, in order.

    A FIELD is a name of FIELDS, or `{NAME}i`, `{NAME}o`, `{NAME}e` for a request header, response
    header or environ variable. `KEY=FIELD` gives it another key. Raises ValueError with a text for
    the user.
    """
    if template == "json":
        return {name: FIELDS[name] for name in DEFAULT}
    found: dict[str, Field] = {}
    for word in template.removeprefix("json:").split(","):
        key, _, name = (part.strip() for part in word.rpartition("="))
        if header := _HEADER.fullmatch(name):
            source = f"last_value({_SOURCES[header[2]]}, {header[1].lower()!r})"
            field = Field(source, name.lower())
            name = header[1]
        elif name in FIELDS:
            field = FIELDS[name]
        else:
            raise ValueError(
                f"{name!r} is no field; allowed are {', '.join(FIELDS)}, {{NAME}}i, {{NAME}}o,"
                " {NAME}e and KEY=FIELD"
            )
        key = key or name
        if key in found:
            raise ValueError(f"two fields are called {key!r}")
        found[key] = field
    return found


@functools.lru_cache(maxsize=8)
def compile_json(template: str, end: str = "") -> Line:
    """Turn a format that `parse` takes into a function (resp, req, environ, request_time) -> line.

    end: what the line ends with. Raises ValueError for a format that `parse` does not take.
    """
    fields = list(parse(template).items())
    pieces, first = [], "{"
    for number, (key, _) in enumerate(fields):
        pieces += [repr(f"{first}{encode(key)}: "), f"f'{{t{number}}}'"]
        first = ", "
    text = " ".join([*pieces, repr("}" + end)])
    values = [f"v{n} = {field.source}" for n, (_, field) in enumerate(fields)]
    texts = [n for n, (_, field) in enumerate(fields) if not field.raw]
    raw = [n for n, (_, field) in enumerate(fields) if field.raw]
    # Values that are no text, and text that is not ASCII, get a second look. The encoder betrays
    # the latter by its \u.
    source = "\n    ".join(
        [
            "def line(resp, req, environ, request_time):",
            *(_STAMP if any("stamp" in field.source for _, field in fields) else ()),
            "get = environ.get",
            *values,
            *(f"t{n} = 'null' if v{n} is None else v{n}" for n in raw),
            "try:",
            *(f"    t{n} = 'null' if v{n} is None else encode(v{n})" for n in texts),
            f"    text = ({text})",
            r"    if '\\u' not in text:",
            "        return text",
            "except (AttributeError, TypeError):",
            "    pass",
            *(f"t{n} = careful(v{n})" for n in texts),
            f"return ({text})",
        ]
    )
    names: dict[str, Any] = {
        "basic_user": basic_user,
        "careful": _careful,
        "clock": time.time,
        "encode": encode,
        "field_list": field_list,
        "getpid": os.getpid,
        "gmtime": time.gmtime,
        "last_value": _last_value,
        "stamp": (-1.0, "", 0),
        "status_number": _status_number,
        "strftime": time.strftime,
        "thousandths": _THOUSANDTHS,
    }
    exec(source, names)  # noqa: S102 - made above of constants and repr()ed text only
    line: Line = names["line"]
    return line


def json_from_atoms(
    template: str,
    atoms: Mapping[str, Any],
    resp: Any,
    req: Any,
    environ: Mapping[str, Any],
    request_time: timedelta,
) -> str:
    """The line for a logger with atoms of its own: what these say wins; `-` becomes null."""
    row = json.loads(compile_json(template)(resp, req, environ, request_time))
    texts = {key: json.dumps(value) for key, value in row.items()}
    for key, field in parse(template).items():
        if field.atom and field.atom in atoms:
            value = atoms[field.atom]
            if field.atom == "r":  # `METHOD TARGET PROTOCOL`
                value = str(value).partition(" ")[2].rpartition(" ")[0] or value
            elif field.atom == "s":
                value = _status_number(value)
            texts[key] = "null" if value == "-" else _careful(value)
    return "{" + ", ".join(f"{encode(key)}: {text}" for key, text in texts.items()) + "}"


@functools.lru_cache(maxsize=256)
def _status_number(status: Any) -> int | None:
    """The number that a status line begins with; None when it is none."""
    word = str(status).partition(" ")[0]
    return int(word) if word.isascii() and word.isdigit() else None


def _last_value(fields: Any, name: str) -> Any:
    """The value of the last field called `name` (lower case), None when there is none."""
    found = None
    for field, value in fields:
        if field.lower() == name:
            found = value
    return found


def _careful(value: Any) -> str:
    """A value of any type as JSON."""
    if value is None or isinstance(value, int) or (isinstance(value, float) and isfinite(value)):
        return json.dumps(value)
    text = str(value)
    try:
        # WSGI shows bytes as Latin-1. Where they are UTF-8, that is what was meant.
        text = text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        pass
    return encode(text)
