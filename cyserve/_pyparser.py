"""Request head to RequestHead, chunked coding to bytes: HTTP/1.1 as servers read it (RFC 9112).

Rules of this file
- It judges bytes by the grammar and the limits of HeadRules; it knows no settings, no sockets.
- What needs a decision beyond the grammar is only classified (`RequestHead.flags`).
- Every verdict is the same wherever the bytes were split, and all work is linear.
- It is the reference for the compiled `_parser.pyx`. Change both or neither.
"""

from typing import Any
from urllib.parse import unquote_to_bytes

from cyserve._errors import (
    ChunkMissingTerminator,
    InvalidChunkSize,
    InvalidHeader,
    InvalidRequestLine,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)
from cyserve._grammar import (
    BARE_LF,
    CHUNK_LINE,
    ENVIRON_KEYS,
    FIELD_TOO_LARGE,
    HEAD_TOO_LARGE,
    MAX_FIELDS,
    MAX_HEAD,
    environ_key,
    known_fields,
    parse_request_line,
    read_chunk_size,
    read_head,
    read_trailers,
)
from cyserve._pyio import InputBuffer
from cyserve._pyruntime import Lane

__all__ = ("ChunkedDecoder", "HeadRules", "RequestHead", "parse_head")


class HeadRules:
    """Limits and permits of a worker, made once from the settings, whose names they bear.

    limit_request_line: most bytes of a request line without its CRLF; 0 is unlimited.
    limit_request_fields: most fields in a head or trailer section; 0 is 32768.
    limit_request_field_size: most bytes of a field line with its CRLF; 0 is unlimited.
    permit_obsolete_folding: join continuation lines (RFC 9112 section 5.2) by one space.
    strip_header_spaces: tolerate SP and HTAB between a field name and its colon.
    permit_unconventional_http_method: accept any token as the method.
    permit_unconventional_http_version: accept any HTTP/d.d, not only 1.x.
    casefold_http_method: make the method upper-case.
    scheme_headers: upper-case names of the fields to classify as HAS_SCHEME.
    """

    __slots__ = (
        "casefold_http_method",
        "known_fields",
        "limit_request_field_size",
        "limit_request_fields",
        "limit_request_line",
        "permit_obsolete_folding",
        "permit_unconventional_http_method",
        "permit_unconventional_http_version",
        "scheme_headers",
        "strip_header_spaces",
    )

    def __init__(
        self,
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
    ) -> None:
        self.limit_request_line = min(limit_request_line or MAX_HEAD, MAX_HEAD)
        self.limit_request_fields = min(limit_request_fields or MAX_FIELDS, MAX_FIELDS)
        self.limit_request_field_size = min(limit_request_field_size or MAX_HEAD, MAX_HEAD)
        self.permit_obsolete_folding = permit_obsolete_folding
        self.strip_header_spaces = strip_header_spaces
        self.permit_unconventional_http_method = permit_unconventional_http_method
        self.permit_unconventional_http_version = permit_unconventional_http_version
        self.casefold_http_method = casefold_http_method
        self.scheme_headers = scheme_headers
        self.known_fields = known_fields(scheme_headers)

    def parse(self, buffer: InputBuffer) -> "RequestHead | None":
        """As parse_head(buffer, self)."""
        return parse_head(buffer, self)


class RequestHead:
    """The head of a request as parse_head understood it.

    method, target, path, query, fragment: as sent; nothing is percent-decoded.
    version: (major, minor).
    content_length: bytes of body to come; 0 when none is announced or when chunked.
    chunked: the body comes in the chunked coding.
    keep_alive: the client wants the connection kept (RFC 9112 section 9.3).
    flags: which decisions are open, see the HAS_ bits of the grammar.
    size: bytes of the head, a leading CRLF included.
    headers: [(UPPER-CASE name, value)]; may be changed or replaced.
    """

    __slots__ = (
        "_line",
        "chunked",
        "content_length",
        "flags",
        "fragment",
        "headers",
        "keep_alive",
        "method",
        "path",
        "query",
        "size",
        "target",
        "version",
    )

    method: str
    target: str
    path: str
    query: str
    fragment: str
    version: tuple[int, int]
    content_length: int
    chunked: bool
    keep_alive: bool
    flags: int
    size: int
    headers: list[tuple[str, str]]
    _line: str

    def fill_environ(self, template: dict[str, Any], ready: bool = False) -> dict[str, Any]:
        """A copy of `template` with the request's own keys added (PEP 3333, RFC 3875).

        Repeated fields are joined by a comma, Cookie fields by "; " (RFC 6265 section 5.4). A
        field whose key the template holds already is joined to what is there.
        ready: the template holds READY_ENVIRON, which need not be set again.
        """
        environ = template.copy()
        version = self.version
        path = self.path
        environ["REQUEST_METHOD"] = self.method
        environ["RAW_URI"] = self.target
        environ["QUERY_STRING"] = self.query
        if "%" in path:
            path = unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
        environ["PATH_INFO"] = path
        environ["SERVER_PROTOCOL"] = (
            "HTTP/1.1" if version == (1, 1) else f"HTTP/{version[0]}.{version[1]}"
        )
        repeated: dict[str, list[str]] = {}
        for name, value in self.headers:
            key = ENVIRON_KEYS.get(name) or environ_key(name)
            if key in environ:
                repeated.setdefault(key, [environ[key]]).append(value)
            else:
                environ[key] = value
        for key, values in repeated.items():
            environ[key] = ("; " if key == "HTTP_COOKIE" else ",").join(values)
        return environ

    def plain(self) -> bool:
        """Whether it is an ordinary HTTP/1.1 request: no open decision, and not HEAD."""
        return not self.flags and self.version == (1, 1) and self.method != "HEAD"

    def request_line(self) -> bytes:
        """The request line as it came, without its CRLF."""
        return self._line.encode("latin-1")

    def enter(self, lane: Lane) -> None:
        """Note in a lane of the scoreboard that this request begins now."""
        lane.begin(self._line.encode("latin-1"))


def parse_head(buffer: InputBuffer, rules: HeadRules) -> RequestHead | None:
    """Read one request head (RFC 9112 sections 2 to 6) and consume it from the buffer.

    Returns None while the head is not complete. Raises a ParseException: for a bare LF, a broken
    limit or a bad request line as soon as it is there, else when the head is complete.
    """
    data = buffer.data
    if not buffer.scanned and len(data) <= MAX_HEAD:
        # Most heads come whole and are good: read before searching for what may be wrong.
        start = 2 if data.startswith(b"\r\n") else 0
        end = data.find(b"\r\n\r\n", start)
        if end >= 0:
            try:
                return _read_head(buffer, start, end, rules)
            except ParseException:
                pass  # the scan goes first in saying what is wrong
    end = _scan_head(buffer, rules)
    if end < 0:
        return None
    return _read_head(buffer, 2 if data.startswith(b"\r\n") else 0, end - 4, rules)


def _scan_head(buffer: InputBuffer, rules: HeadRules) -> int:
    """Where the head ends, or -1 when it is not complete.

    Refuses what need not wait for the end. `buffer.scanned` is left at the start of the first
    line that has not ended; it is 0 as long as that is the request line.
    """
    data = buffer.data
    position = buffer.scanned
    if not position:
        start = 2 if data.startswith(b"\r\n") else 0
        newline = data.find(b"\n", start)
        if newline < 0:
            size = len(data) - start
            if size > rules.limit_request_line + 2:
                raise LimitRequestLine(size, rules.limit_request_line)
            return -1
        whole = newline > start and data[newline - 1] == 0x0D
        size = newline - start - whole
        if size > rules.limit_request_line:
            raise LimitRequestLine(size, rules.limit_request_line)
        if not whole:
            raise InvalidRequestLine(BARE_LF)
        parse_request_line(data[start : newline - 1].decode("latin-1"), rules)
        position = newline + 1
    most = _most_bytes(rules)
    last = len(data)
    if last > most:
        last = data.find(b"\n", 2) + 1 + most
    end = _scan_fields(data, position, last, rules)
    if end < 0:
        buffer.scanned = ~end
    return end


def _most_bytes(rules: HeadRules) -> int:
    """More than a section of fields that keeps the limits can take."""
    most = rules.limit_request_fields * (rules.limit_request_field_size + 2) + 4
    return min(most, MAX_HEAD)


def _scan_fields(data: bytearray, position: int, last: int, rules: HeadRules) -> int:
    """Where a section of fields ends, or the inverse of where its first unended line starts.

    last: where the section must have ended.
    """
    limit = rules.limit_request_field_size
    while True:
        newline = data.find(b"\n", position)
        stop = len(data) if newline < 0 else newline + 1
        if stop > last:
            raise LimitRequestHeaders(HEAD_TOO_LARGE)
        if newline < 0:
            if stop - position >= limit:
                raise LimitRequestHeaders(FIELD_TOO_LARGE)
            return ~position
        size = newline - position
        whole = size > 0 and data[newline - 1] == 0x0D
        if size == 1 and whole:
            return stop
        if size >= limit:
            raise LimitRequestHeaders(FIELD_TOO_LARGE)
        if not whole:
            raise InvalidHeader(BARE_LF)
        position = stop


def _read_head(buffer: InputBuffer, start: int, end: int, rules: HeadRules) -> RequestHead:
    """Read the head whose request line starts at `start` and whose CRLFCRLF is at `end`."""
    line, _, section = buffer.data[start:end].decode("latin-1").partition("\r\n")
    head = RequestHead()
    read_head(head, line, section, rules)
    head.size = end + 4
    head._line = line
    buffer.skip(end + 4)
    return head


class ChunkedDecoder:
    """Takes the chunked coding (RFC 9112 section 7.1) off a body, piece by piece.

    done: the last chunk and the trailer section have been consumed.
    trailers: the fields of the trailer section, (UPPER-CASE name, value), once done.
    """

    __slots__ = ("_extensions", "_left", "_limit", "_rules", "_searched", "_state", "trailers")

    def __init__(self, rules: HeadRules) -> None:
        self.trailers: list[tuple[str, str]] = []
        self._rules = rules
        limit = rules.limit_request_field_size
        self._limit = CHUNK_LINE if limit == MAX_HEAD else limit
        self._state = _SIZE
        self._left = 0  # bytes of the chunk still to come
        self._searched = 0  # bytes of the unended line or trailer section already searched
        self._extensions = 0  # bytes of chunk extensions so far

    @property
    def done(self) -> bool:
        return self._state == _DONE

    def decode(self, buffer: InputBuffer, size: int) -> bytes:
        """Consume coded bytes and return up to `size` bytes of the body.

        Returns b"" when more input is needed and when the body is done; the end of the stream is
        the caller's business. Raises InvalidChunkSize, InvalidChunkExtension or
        ChunkMissingTerminator, and for the trailer section what parse_head raises for fields.
        """
        data = buffer.data
        position = 0
        pieces: list[bytearray] = []
        while self._state != _DONE:
            if self._state == _DATA:
                taken = min(self._left, size, len(data) - position)
                if taken <= 0:
                    break
                pieces.append(data[position : position + taken])
                position += taken
                size -= taken
                self._left -= taken
                if not self._left:
                    self._state = _DATA_END
                continue
            try:
                used = _STEPS[self._state](self, data, position)
            except ParseException:
                if pieces:
                    break  # hand out what is good; the next call meets the fault again
                raise
            if not used:
                break
            position += used
        if position:
            buffer.skip(position)
        return b"".join(pieces)

    def _size_line(self, data: bytearray, start: int) -> int:
        """Read a chunk-size line. Returns its size, 0 when it has not ended."""
        newline = data.find(b"\n", start + self._searched)
        if newline < 0:
            self._searched = len(data) - start
        if (self._searched if newline < 0 else newline - start) > self._limit + 1:
            raise InvalidChunkSize(b"line over %d bytes with no terminator" % self._limit)
        if newline < 0:
            return 0
        self._searched = 0
        whole = newline > start and data[newline - 1] == 0x0D
        line = bytes(data[start : newline - 1 if whole else newline + 1])
        self._left, self._extensions = read_chunk_size(line, self._extensions)
        self._state = _DATA if self._left else _TRAILERS
        return newline + 1 - start

    def _data_end(self, data: bytearray, start: int) -> int:
        """Read the CRLF after the data of a chunk. Returns 2, or 0 when it is not there."""
        end = bytes(data[start : start + 2])
        if len(end) < 2:
            return 0
        if end != b"\r\n":
            raise ChunkMissingTerminator(end)
        self._state = _SIZE
        return 2

    def _trailer_section(self, data: bytearray, start: int) -> int:
        """Read the trailer section. Returns its size, 0 when it has not ended."""
        last = start + _most_bytes(self._rules)
        end = _scan_fields(data, start + self._searched, last, self._rules)
        if end < 0:
            self._searched = ~end - start
            return 0
        if end > start + 2:
            section = data[start : end - 4].decode("latin-1")
            self.trailers = read_trailers(section, self._rules)
        self._state = _DONE
        return end - start


_SIZE, _DATA, _DATA_END, _TRAILERS, _DONE = range(5)
_STEPS = {
    _SIZE: ChunkedDecoder._size_line,
    _DATA_END: ChunkedDecoder._data_end,
    _TRAILERS: ChunkedDecoder._trailer_section,
}
