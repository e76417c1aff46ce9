from typing import Any

from typing_extensions import Self, disjoint_base

from cyserve._io import InputBuffer
from cyserve._runtime import Lane

__all__ = ("ChunkedDecoder", "HeadRules", "RequestHead", "parse_head")

@disjoint_base
class HeadRules:
    def __new__(
        cls,
        *,
        limit_request_line: int = 4094,
        limit_request_fields: int = 100,
        limit_request_field_size: int = 8190,
        permit_obsolete_folding: bool = False,
        strip_header_spaces: bool = False,
        permit_unconventional_http_method: bool = False,
        permit_unconventional_http_version: bool = False,
        casefold_http_method: bool = False,
        scheme_headers: tuple[str, ...] = (),
    ) -> Self: ...
    @property
    def limit_request_line(self) -> int: ...
    @property
    def limit_request_fields(self) -> int: ...
    @property
    def limit_request_field_size(self) -> int: ...
    @property
    def permit_obsolete_folding(self) -> bool: ...
    @property
    def strip_header_spaces(self) -> bool: ...
    @property
    def permit_unconventional_http_method(self) -> bool: ...
    @property
    def permit_unconventional_http_version(self) -> bool: ...
    @property
    def casefold_http_method(self) -> bool: ...
    @property
    def scheme_headers(self) -> tuple[str, ...]: ...
    @property
    def known_fields(self) -> dict[str, tuple[str, int]]: ...
    def parse(self, buffer: InputBuffer) -> RequestHead | None: ...

@disjoint_base
class RequestHead:
    method: str
    target: str  # RAW_URI
    path: str
    query: str
    fragment: str
    version: tuple[int, int]
    content_length: int
    chunked: bool
    keep_alive: bool
    flags: int  # see _grammar.HAS_*
    size: int
    @property
    def headers(self) -> list[tuple[str, str]]: ...
    @headers.setter
    def headers(self, headers: list[tuple[str, str]]) -> None: ...
    def fill_environ(self, template: dict[str, Any], ready: bool = False) -> dict[str, Any]: ...
    def plain(self) -> bool: ...
    def request_line(self) -> bytes: ...
    def enter(self, lane: Lane) -> None: ...

def parse_head(buffer: InputBuffer, rules: HeadRules) -> RequestHead | None: ...

@disjoint_base
class ChunkedDecoder:
    def __init__(self, rules: HeadRules) -> None: ...
    @property
    def done(self) -> bool: ...
    @property
    def trailers(self) -> list[tuple[str, str]]: ...
    def decode(self, buffer: InputBuffer, size: int) -> bytes: ...
