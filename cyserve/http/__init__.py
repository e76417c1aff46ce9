"""What the bytes mean: requests, responses and the one request cycle.

First floor. Nothing here knows how waiting is done, which settings exist on the command line,
or how many processes there are.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cyserve.http.message import Message, Request
    from cyserve.http.parser import RequestParser

__all__ = ("Message", "Request", "RequestParser", "get_parser")


def get_parser(
    cfg: Any, source: Any, source_addr: Any, http2_connection: bool = False
) -> RequestParser:
    """A `RequestParser` for a source. Raises RuntimeError for HTTP/2, which is not there yet."""
    from cyserve.http.parser import RequestParser  # noqa: PLC0415 - who imports a part gets no more

    if http2_connection:
        raise RuntimeError("this version of cyserve does not have HTTP/2")
    return RequestParser(cfg, source, source_addr)


def __getattr__(name: str) -> Any:
    """gunicorn's names, looked up when they are asked for."""
    from importlib import import_module  # noqa: PLC0415

    if name in {"Message", "Request"}:
        return getattr(import_module("cyserve.http.message"), name)
    if name == "RequestParser":
        return import_module("cyserve.http.parser").RequestParser
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
