from typing import Any

from cyserve._io import InputBuffer

class HeadRules:
    """Limits and permits of a worker, made once from the settings (names are gunicorn's)."""
    def __init__(
        self, *,
        limit_request_line: int = 4094, limit_request_fields: int = 100, limit_request_field_size: int = 8190,
        permit_obsolete_folding: bool = False, strip_header_spaces: bool = False,
        permit_unconventional_http_method: bool = False, permit_unconventional_http_version: bool = False,
        casefold_http_method: bool = False,
        scheme_headers: tuple[str, ...] = (),   # UPPER-CASE names that set the scheme: classified as HAS_SCHEME
    ) -> None: ...

class RequestHead:
    method: str
    target: str          # RAW_URI
    path: str            # raw, not percent-decoded
    query: str
    fragment: str
    version: tuple[int, int]
    content_length: int  # bytes of body to come; 0 when none is announced or when chunked
    chunked: bool
    keep_alive: bool     # what the client wants (version, Connection list, CONNECT)
    flags: int           # classification mask, see _grammar.HAS_*
    size: int            # bytes of the head consumed, leading CRLF included
    headers: list[tuple[str, str]]  # [(UPPER-CASE name, value)]; built when first asked for; may be replaced
    def fill_environ(self, template: dict[str, Any]) -> dict[str, Any]: ...
    def request_line(self) -> bytes: ...

def parse_head(buffer: InputBuffer, rules: HeadRules) -> RequestHead | None: ...

class ChunkedDecoder:
    done: bool
    trailers: list[tuple[str, str]]
    def __init__(self, rules: HeadRules) -> None: ...
    def decode(self, buffer: InputBuffer, size: int) -> bytes: ...
