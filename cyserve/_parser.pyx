# cython: language_level=3, auto_pickle=False, autotestdict=False
# cython: embedsignature=True, embedsignature.format=python
"""Request head to RequestHead, chunked coding to bytes: HTTP/1.1 as servers read it (RFC 9112).

Rules of this file
- It judges bytes by the grammar and the limits of HeadRules; it knows no settings, no sockets.
- What needs a decision beyond the grammar is only classified (`RequestHead.flags`).
- Every verdict is the same wherever the bytes were split, and all work is linear.
- Every pointer walks between a start and an end; compare before you read.
- It reads heads that are plainly good. Any other, once complete, is judged by the reader of
  `_grammar`, with which the twin reads them all: what is odd is decided in one place.
- `_pyparser.py` is the reference. Change both or neither.

Over 500 lines because the twin's string methods are loops here, and a kernel is one module.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_Copy, PyDict_Size
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memchr, memcmp, memcpy

from cyserve._bytes cimport (
    PyUnicode_DATA, decimal, hex_value, is_blank, is_word, latin1, leading_crlf, shortened,
    same_but_case, unquote, value_end,
)
from cyserve._io cimport InputBuffer
from cyserve._runtime cimport Lane

from cyserve import _grammar
from cyserve._errors import (
    ChunkMissingTerminator, InvalidChunkSize, InvalidHeader, InvalidRequestLine,
    LimitRequestHeaders, LimitRequestLine, ParseException,
)

cdef extern from "Python.h":
    PyObject *PyDict_SetDefault(dict d, PyObject *key, object value) except NULL
    PyObject *new_bytes "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t size) except NULL

__all__ = ("ChunkedDecoder", "HeadRules", "RequestHead", "parse_head")


# -- tables, built once from the grammar ---------------------------------------------------------

cdef enum:  # byte classes
    IN_TOKEN = 1
    IN_METHOD = 2
    IN_TARGET = 4

cdef enum Role:  # fields that frame the message
    ORDINARY, HOST, CONTENT_TYPE, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION

cdef enum:
    MAX_HEAD = 1 << 30

cdef unsigned char classes[256]
cdef dict ROLES = {
    "HOST": HOST, "CONTENT-TYPE": CONTENT_TYPE, "CONTENT-LENGTH": CONTENT_LENGTH,
    "TRANSFER-ENCODING": TRANSFER_ENCODING, "CONNECTION": CONNECTION,
}
cdef tuple METHODS = _grammar.METHODS
cdef tuple VERSIONS = tuple([(1, minor) for minor in range(10)])
cdef int HAS_UNDERSCORE = _grammar.HAS_UNDERSCORE


cdef int byte
for byte in range(256):
    classes[byte] = (
        (IN_TOKEN if byte in _grammar.TOKEN else 0)
        | (IN_METHOD if byte in _grammar.METHOD else 0)
        | (IN_TARGET if byte in _grammar.TARGET else 0)
    )
assert MAX_HEAD == _grammar.MAX_HEAD


cdef class HeadRules:
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

    def __cinit__(
        self, *,
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
        most_fields = _grammar.MAX_FIELDS
        self.limit_request_line = min(limit_request_line or MAX_HEAD, MAX_HEAD)
        self.limit_request_fields = min(limit_request_fields or most_fields, most_fields)
        self.limit_request_field_size = min(limit_request_field_size or MAX_HEAD, MAX_HEAD)
        self.permit_obsolete_folding = permit_obsolete_folding
        self.strip_header_spaces = strip_header_spaces
        self.permit_unconventional_http_method = permit_unconventional_http_method
        self.permit_unconventional_http_version = permit_unconventional_http_version
        self.casefold_http_method = casefold_http_method
        self.scheme_headers = scheme_headers
        self.known_fields = _grammar.known_fields(scheme_headers)
        self.section_limit = min(
            self.limit_request_fields * (self.limit_request_field_size + 2) + 4, MAX_HEAD)
        self.build_table(dict(self.known_fields.values()))

    def __dealloc__(self):
        free(self.table)

    cpdef RequestHead parse(self, InputBuffer buffer):
        """As parse_head(buffer, self)."""
        return read_head(buffer, self)

    cdef int build_table(self, dict names) except -1:
        cdef Field *field
        cdef size_t slots = 256
        while slots < 3 * <size_t> len(names):
            slots *= 2
        self.table = <Field *> calloc(slots, sizeof(Field))
        if self.table == NULL:
            raise MemoryError()
        self.slots = slots - 1
        self.kept = []
        for upper, flags in names.items():
            name = upper.lower().encode("latin-1")
            mask = bytes([0xDF if byte in _grammar.ALPHA else 0xFF for byte in name])
            key = _grammar.environ_key(upper)
            self.kept.append((upper, name, mask, key))
            field = slot_of(self, <const unsigned char *> name, len(name))
            field.name = name
            field.mask = mask
            field.size = len(name)
            field.upper = <PyObject *> upper
            field.key = <PyObject *> key
            field.flags = flags & ~_grammar.FRAMES
            field.role = ROLES.get(upper, ORDINARY)
        return 0


cdef inline Field *slot_of(
    HeadRules rules, const unsigned char *name, Py_ssize_t size
) noexcept nogil:
    """The slot of a name that is not empty, or the empty slot where it belongs."""
    cdef size_t slot = (
        <size_t> size + 5 * <size_t> (name[0] | 0x20)
        + 17 * <size_t> (name[size - 1] | 0x20) + 41 * <size_t> (name[size >> 1] | 0x20)
    )
    cdef Field *field
    while True:
        field = &rules.table[slot & rules.slots]
        if not field.size or field.size == size and same_but_case(
            name, field.name, field.mask, size
        ):
            return field
        slot += 1


cdef inline bint is_name(const char *at, const char *end, int *flags) noexcept nogil:
    while at < end and classes[<unsigned char> at[0]] & IN_TOKEN:
        if at[0] == c"_":
            flags[0] |= HAS_UNDERSCORE
        at += 1
    return at == end


# -- request head --------------------------------------------------------------------------------

cdef const char *read_line(const char *at, const char *end, Py_ssize_t *places) noexcept nogil:
    """Read "METHOD /path HTTP/1.d" and return the end of its CRLF, or NULL for anything else.

    places: where to put the sizes of method and target.
    """
    cdef const char *start = at
    while at < end and classes[<unsigned char> at[0]] & IN_METHOD:
        at += 1
    places[0] = at - start
    if not 3 <= places[0] <= 20 or end - at < 2 or at[0] != c" " or at[1] != c"/":
        return NULL
    start = at + 1
    at += 2
    while at < end and classes[<unsigned char> at[0]] & IN_TARGET:
        at += 1
    places[1] = at - start
    if end - at < 11 or memcmp(at, b" HTTP/1.", 8) or memcmp(at + 9, b"\r\n", 2):
        return NULL
    return at + 11 if c"0" <= at[8] <= c"9" else NULL


cdef const char *read_fields(
    Fields *fields, const char *at, const char *end, const char *base, HeadRules rules
) noexcept nogil:
    """Read field lines and return the end of the empty line, or NULL if not all is good."""
    cdef const char *line
    cdef const char *stop
    cdef const Field *field
    cdef Span *span
    cdef int flags
    while end - at >= 2 and (at[0] != c"\r" or at[1] != c"\n"):
        if fields.count == SPANS or fields.count == rules.limit_request_fields:
            return NULL
        line = at
        stop = <const char *> memchr(at, c":", end - at)
        if stop == NULL or stop == at:
            return NULL
        field = slot_of(rules, <const unsigned char *> at, stop - at)
        flags = field.flags
        if not field.size:
            field = NULL
            if not is_name(at, stop, &flags):
                return NULL
        span = &fields.spans[fields.count]
        span.field = field
        span.name = <uint32_t> (at - base)
        span.name_size = <uint32_t> (stop - at)
        at = stop + 1
        while at < end and is_blank(at[0]):
            at += 1
        stop = value_end(at, end, &span.high)
        if end - stop < 2 or stop[0] != c"\r" or stop[1] != c"\n":
            return NULL
        span.value = <uint32_t> (at - base)
        at = stop + 2
        while stop > base + span.value and is_blank(stop[-1]):
            stop -= 1
        span.value_size = <uint32_t> (stop - base) - span.value
        if at - line > rules.limit_request_field_size:
            return NULL
        if field != NULL and field.role and not note(fields, field.role, base, span):
            return NULL
        fields.flags |= flags
        fields.count += 1
    return at + 2 if end - at >= 2 else NULL


cdef bint note(Fields *fields, int role, const char *base, const Span *span) noexcept nogil:
    """Take notice of a field that frames the message. False: that takes more thought."""
    cdef int seen = fields.seen & 1 << role
    fields.seen |= 1 << role
    if role == CONNECTION:
        if is_word(base + span.value, span.value_size, b"close"):
            fields.close = True
        elif is_word(base + span.value, span.value_size, b"keep-alive"):
            fields.keep = True
        else:
            fields.options = True
        return True
    if role == TRANSFER_ENCODING and not is_word(base + span.value, span.value_size, b"chunked"):
        return False
    if role == CONTENT_LENGTH:
        fields.length = fields.count
    return not seen


cdef str method_name(const char *start, Py_ssize_t size):
    cdef str method
    for method in METHODS:
        if len(method) == size and not memcmp(PyUnicode_DATA(method), start, size):
            return method
    return latin1(start, size, False)


cdef Fields *spare[16]   # apart from the heads, which are zeroed whenever one is made
cdef int spare_count = 0


@cython.freelist(16)
cdef class RequestHead:
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

    def __cinit__(self):
        global spare_count
        if spare_count:
            spare_count -= 1
            self.fields = spare[spare_count]
        else:
            self.fields = <Fields *> malloc(sizeof(Fields))
            if self.fields == NULL:
                raise MemoryError()
        self.fields.count = self.fields.flags = self.fields.seen = self.fields.length = 0
        self.fields.close = self.fields.keep = self.fields.options = False

    def __dealloc__(self):
        global spare_count
        if self.fields != NULL and spare_count < 16:
            spare[spare_count] = self.fields
            spare_count += 1
        else:
            free(self.fields)

    @property
    def headers(self) -> list[tuple[str, str]]:
        if self.fields_list is None:
            self.fields_list = self.build_headers()
        return self.fields_list

    @headers.setter
    def headers(self, list headers not None):
        self.fields_list = headers

    cdef str value_of(self, const Span *span):
        return latin1(PyBytes_AS_STRING(self.raw) + span.value, span.value_size, span.high)

    cdef str name_of(self, const Span *span):
        if span.field != NULL:
            return <str> span.field.upper
        return latin1(PyBytes_AS_STRING(self.raw) + span.name, span.name_size, False).upper()

    cdef list build_headers(self):
        cdef Span *spans = self.fields.spans
        return [(self.name_of(&spans[at]), self.value_of(&spans[at]))
                for at in range(self.fields.count)]

    cdef int take_line(self, const char *start, const Py_ssize_t *places) except -1:
        cdef const char *target = start + places[0] + 1
        cdef const char *end = target + places[1]
        cdef const char *mark = <const char *> memchr(target, c"#", end - target)
        self.method = method_name(start, places[0])
        self.target = self.path = latin1(target, end - target, False)
        self.query = self.fragment = ""
        self.version = <tuple> VERSIONS[end[8] - c"0"]
        if mark != NULL:
            self.fragment = latin1(mark + 1, end - mark - 1, False)
            self.path = latin1(target, mark - target, False)
            end = mark
        mark = <const char *> memchr(target, c"?", end - target)
        if mark != NULL:
            self.query = latin1(mark + 1, end - mark - 1, False)
            self.path = latin1(target, mark - target, False)
        return 0

    cdef bint take_framing(self) except -1:
        """What the fields say about body and connection. False: that takes more thought."""
        cdef Fields *fields = self.fields
        cdef const Span *span = &fields.spans[fields.length]
        cdef bint persistent = self.version is not VERSIONS[0]
        self.chunked = fields.seen & 1 << TRANSFER_ENCODING != 0
        if self.chunked and (not persistent or fields.seen & 1 << CONTENT_LENGTH):
            return False
        self.content_length = 0
        if fields.seen & 1 << CONTENT_LENGTH:
            self.content_length = decimal(
                PyBytes_AS_STRING(self.raw) + span.value, span.value_size)
            if self.content_length < 0:
                return False
        if fields.options:
            for name, value in self.build_headers():
                if name == "CONNECTION":
                    close, keep = _grammar.connection_options(value)
                    fields.close |= close
                    fields.keep |= keep
        self.keep_alive = (
            not fields.close and (fields.keep or persistent) and self.method != "CONNECT"
        )
        self.flags = fields.flags
        return True

    cpdef dict fill_environ(self, dict template, bint ready = False):
        """A copy of `template` with the request's own keys added (PEP 3333, RFC 3875).

        Repeated fields are joined by a comma, Cookie fields by "; " (RFC 6265 section 5.4). A
        field whose key the template holds already is joined to what is there.
        ready: the template holds READY_ENVIRON, which need not be set again.
        """
        cdef dict environ = PyDict_Copy(template)
        cdef dict repeated = None
        cdef tuple version = self.version
        cdef const Span *span
        cdef int place
        if not ready or self.method != "GET":
            environ["REQUEST_METHOD"] = self.method
        environ["RAW_URI"] = self.target
        if not ready or self.query:
            environ["QUERY_STRING"] = self.query
        environ["PATH_INFO"] = unquote(self.path) if "%" in self.path else self.path
        if not ready or version is not VERSIONS[1]:
            environ["SERVER_PROTOCOL"] = f"HTTP/{version[0]}.{version[1]}"
        if self.fields_list is None:
            for place in range(self.fields.count):
                span = &self.fields.spans[place]
                if span.field != NULL:
                    key = <object> span.field.key
                else:
                    key = "HTTP_" + self.name_of(span).replace("-", "_")
                repeated = add_field(environ, repeated, key, self.value_of(span))
        else:
            for name, value in self.fields_list:
                repeated = add_field(environ, repeated, _grammar.environ_key(name), value)
        if repeated is not None:
            for key, values in repeated.items():
                environ[key] = ("; " if key == "HTTP_COOKIE" else ",").join(values)
        return environ

    cpdef bint plain(self) except -1:
        """Whether it is an ordinary HTTP/1.1 request: no open decision, and not HEAD."""
        return (
            not self.flags and (len(self.method) != 4 or self.method != "HEAD")
            and (self.version is <tuple> VERSIONS[1] or self.version == <tuple> VERSIONS[1])
        )

    cpdef bytes request_line(self):
        """The request line as it came, without its CRLF."""
        return PyBytes_FromStringAndSize(PyBytes_AS_STRING(self.raw), self.line_size)

    cpdef int enter(self, Lane lane) except -1:
        """Note in a lane of the scoreboard that this request begins now."""
        lane.note(PyBytes_AS_STRING(self.raw), self.line_size)
        return 0


cdef inline dict add_field(dict environ, dict repeated, object key, object value):
    cdef Py_ssize_t size = PyDict_Size(environ)
    cdef PyObject *present = PyDict_SetDefault(environ, <PyObject *> key, value)
    if PyDict_Size(environ) == size:
        if repeated is None:
            repeated = {}
        repeated.setdefault(key, [<object> present]).append(value)
    return repeated


def parse_head(buffer: InputBuffer, rules: HeadRules) -> RequestHead | None:
    """Read one request head (RFC 9112 sections 2 to 6) and consume it from the buffer.

    Returns None while the head is not complete. Raises a ParseException: for a bare LF, a broken
    limit or a bad request line as soon as it is there, else when the head is complete.
    """
    return read_head(buffer, rules)


cdef RequestHead read_head(InputBuffer buffer, HeadRules rules):
    cdef RequestHead head = None
    cdef Py_ssize_t size = buffer.end - buffer.start
    cdef bint untouched = not buffer.scanned and 0 < size <= MAX_HEAD
    if untouched and memchr(buffer.data + buffer.start, c"\n", size) != NULL:
        # Most heads come whole and are good: read before searching for what may be wrong.
        head = read_good_head(buffer, rules, size)
        if head is not None:
            return head
    size = scan_head(buffer, rules)
    if size < 0:
        return None
    if not untouched:
        head = read_good_head(buffer, rules, size)
    return read_odd_head(buffer, rules, size) if head is None else head


cdef RequestHead read_good_head(InputBuffer buffer, HeadRules rules, Py_ssize_t size):
    """Read and consume the head in the first `size` bytes, if it is there and plainly good."""
    cdef const char *data = buffer.data + buffer.start
    cdef const char *start = data + leading_crlf(data, size)
    cdef const char *end = data + size
    cdef const char *at
    cdef Py_ssize_t places[2]
    cdef RequestHead head
    at = read_line(start, end, places)
    if at == NULL or at - 2 - start > rules.limit_request_line:
        return None
    head = RequestHead.__new__(RequestHead)
    head.line_size = at - 2 - start
    at = read_fields(head.fields, at, end, start, rules)
    if at == NULL:
        return None
    head.raw = PyBytes_FromStringAndSize(start, at - start)
    head.rules = rules
    head.take_line(start, places)
    if not head.take_framing():
        return None
    head.size = at - data
    buffer.consume(head.size)
    return head


cdef RequestHead read_odd_head(InputBuffer buffer, HeadRules rules, Py_ssize_t size):
    """Read and consume the head that takes the first `size` bytes, or raise what is wrong."""
    cdef const char *data = buffer.data + buffer.start
    cdef const char *start = data + leading_crlf(data, size)
    cdef RequestHead head = RequestHead.__new__(RequestHead)
    line, _, section = latin1(start, data + size - 4 - start).partition("\r\n")
    _grammar.read_head(head, line, section, rules)
    head.raw = line.encode("latin-1")
    head.line_size = len(line)
    head.size = size
    buffer.consume(size)
    return head


cdef Py_ssize_t scan_head(InputBuffer buffer, HeadRules rules) except? -1:
    """The size of the head, or -1 when it is not complete.

    Refuses what need not wait for the end. `buffer.scanned` is left at the start of the first
    line that has not ended; it is 0 as long as that is the request line.
    """
    cdef const char *data = buffer.data + buffer.start
    cdef Py_ssize_t size = buffer.end - buffer.start
    cdef Py_ssize_t position = buffer.scanned
    cdef Py_ssize_t last = size
    cdef Py_ssize_t start, length
    cdef const char *newline
    if not position:
        start = leading_crlf(data, size)
        newline = <const char *> memchr(data + start, c"\n", size - start) if size else NULL
        if newline == NULL:
            if size - start > rules.limit_request_line + 2:
                raise LimitRequestLine(size - start, rules.limit_request_line)
            return -1
        length = newline - data - start
        if length and newline[-1] == c"\r":
            length -= 1
        if length > rules.limit_request_line:
            raise LimitRequestLine(length, rules.limit_request_line)
        if data[start + length] == c"\n":
            raise InvalidRequestLine(_grammar.BARE_LF)
        _grammar.parse_request_line(latin1(data + start, length), rules)
        position = newline + 1 - data
    if size > rules.section_limit:
        newline = <const char *> memchr(data + 2, c"\n", size - 2)
        last = newline + 1 - data + rules.section_limit
    position = scan_fields(data, position, size, last, rules)
    if position < 0:
        buffer.scanned = ~position
        return -1
    return position


cdef Py_ssize_t scan_fields(
    const char *data, Py_ssize_t position, Py_ssize_t size, Py_ssize_t last, HeadRules rules
) except? -1:
    """Where a section of fields ends, or the inverse of where its first unended line starts.

    last: where the section must have ended.
    """
    cdef const char *newline
    cdef Py_ssize_t stop
    while True:
        newline = NULL
        if position < size:
            newline = <const char *> memchr(data + position, c"\n", size - position)
        stop = size if newline == NULL else newline + 1 - data
        if stop > last:
            raise LimitRequestHeaders(_grammar.HEAD_TOO_LARGE)
        if newline == NULL:
            if stop - position >= rules.limit_request_field_size:
                raise LimitRequestHeaders(_grammar.FIELD_TOO_LARGE)
            return ~position
        if stop - position == 2 and newline[-1] == c"\r":
            return stop
        if stop - 1 - position >= rules.limit_request_field_size:
            raise LimitRequestHeaders(_grammar.FIELD_TOO_LARGE)
        if stop - 1 == position or newline[-1] != c"\r":
            raise InvalidHeader(_grammar.BARE_LF)
        position = stop


# -- chunked coding --------------------------------------------------------------------------------

cdef enum State:
    SIZE, DATA, DATA_END, TRAILERS, DONE


cdef class ChunkedDecoder:
    """Takes the chunked coding (RFC 9112 section 7.1) off a body, piece by piece.

    done: the last chunk and the trailer section have been consumed.
    trailers: the fields of the trailer section, (UPPER-CASE name, value), once done.
    """

    cdef readonly list trailers
    cdef HeadRules rules
    cdef State state
    cdef long long left          # bytes of the chunk still to come
    cdef Py_ssize_t limit        # of a chunk-size line
    cdef Py_ssize_t searched     # bytes of the unended line or section already searched
    cdef Py_ssize_t extensions   # bytes of chunk extensions so far

    def __init__(self, rules: HeadRules) -> None:
        cdef Py_ssize_t limit = rules.limit_request_field_size
        self.trailers = []
        self.rules = rules
        self.limit = limit if limit < MAX_HEAD else _grammar.CHUNK_LINE
        self.state = SIZE

    @property
    def done(self) -> bool:
        return self.state == DONE

    def decode(self, buffer: InputBuffer, size: int) -> bytes:
        """Consume coded bytes and return up to `size` bytes of the body.

        Returns b"" when more input is needed and when the body is done; the end of the stream is
        the caller's business. Raises InvalidChunkSize, InvalidChunkExtension or
        ChunkMissingTerminator, and for the trailer section what parse_head raises for fields.
        """
        cdef const char *data = buffer.data + buffer.start
        cdef const char *end = buffer.data + buffer.end
        cdef const char *at = data
        cdef Py_ssize_t room = max(0, min(<Py_ssize_t> size, end - data))
        cdef Py_ssize_t filled = 0
        cdef Py_ssize_t used
        cdef PyObject *out = new_bytes(NULL, room)
        cdef char *target = PyBytes_AS_STRING(<bytes> out)
        try:
            while self.state != DONE:
                if self.state == DATA:
                    used = <Py_ssize_t> min(<long long> min(room - filled, end - at), self.left)
                    memcpy(target + filled, at, used)
                    filled += used
                    self.left -= used
                    if not self.left:
                        self.state = DATA_END
                else:
                    used = self.step(at, end)
                if not used:
                    break
                at += used
        except BaseException as error:
            # Hand out what is good; the next call meets the fault again.
            if not filled or not isinstance(error, ParseException):
                Py_DECREF(<object> out)
                raise
        if at != data:
            buffer.consume(at - data)
        return shortened(out, filled)

    cdef Py_ssize_t step(self, const char *start, const char *end) except -1:
        """Read what is not data. Returns its size, 0 when it is not all there."""
        if self.state == SIZE:
            return self.size_line(start, end)
        cdef Py_ssize_t size = end - start
        if self.state == TRAILERS:
            size = scan_fields(start, self.searched, size, self.rules.section_limit, self.rules)
            if size < 0:
                self.searched = ~size
                return 0
            if size > 2:
                self.trailers = _grammar.read_trailers(latin1(start, size - 4), self.rules)
            self.state = DONE
            return size
        if size < 2:
            return 0
        if start[0] != c"\r" or start[1] != c"\n":
            raise ChunkMissingTerminator(start[:2])
        self.state = SIZE
        return 2

    cdef Py_ssize_t size_line(self, const char *start, const char *end) except -1:
        cdef const char *at = start
        cdef const char *newline = NULL
        cdef Py_ssize_t size = end - start
        if size > self.searched:
            newline = <const char *> memchr(start + self.searched, c"\n", size - self.searched)
        if newline != NULL:
            size = newline - start
        if size > self.limit + 1:
            raise InvalidChunkSize(b"line over %d bytes with no terminator" % self.limit)
        if newline == NULL:
            self.searched = size
            return 0
        self.left = 0
        while at < newline and at - start < 15 and hex_value(at[0]) >= 0:
            self.left = 16 * self.left + hex_value(at[0])
            at += 1
        if at == start or newline - at != 1 or at[0] != c"\r":  # not just a number and CRLF
            if size and newline[-1] == c"\r":
                line = start[:size - 1]
            else:
                line = start[:size + 1]
            self.left, self.extensions = _grammar.read_chunk_size(line, self.extensions)
        self.searched = 0
        self.state = DATA if self.left else TRAILERS
        return newline + 1 - start
