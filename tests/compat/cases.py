"""All cases, and how they are written down.

Each cases_*.py holds one table; `request` and `say` spell what most of them send. No test lives
here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

Fields = Iterable[tuple[str, str]]


def request(
    target: str = "/ok",
    *fields: str,
    method: str = "GET",
    version: str = "HTTP/1.1",
    host: bool = True,
    body: bytes = b"",
    length: bool = True,
) -> bytes:
    """A request; fields are whole lines; a body gets its Content-Length unless length is false."""
    lines = [f"{method} {target} {version}", *(["Host: h"] if host else []), *fields]
    if body and length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def say(**spec: Any) -> str:
    """The target of a request that is answered as `say` of compat_app says."""
    return "/say?" + quote(json.dumps(spec, separators=(",", ":")), safe="")


def chunks(*pieces: bytes, last: bytes = b"0\r\n\r\n") -> bytes:
    """A body in chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + last
