# cython: language_level=3, auto_pickle=False, autotestdict=False
# cython: embedsignature=True, embedsignature.format=python
"""Bytes in and out of a connection: input buffer, response head, chunk framing, output buffer.

Rules of this file
- It moves bytes between memory and file descriptors; it knows no settings, no logging, no threads.
- Non-blocking system calls keep the GIL: they cannot block, and giving it up costs a hand-over.
- Every pointer walks between a start and an end; compare before you read.
- `_pyio.py` is the reference. Change both or neither.
Over 500 lines because four small classes of C and their docstrings take that.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memcpy, memmove, memset

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF
from cpython.unicode cimport PyUnicode_1BYTE_KIND, PyUnicode_DATA
from cpython.unicode cimport PyUnicode_FromObject, PyUnicode_GET_LENGTH, PyUnicode_KIND
cimport cython

from cyserve._bytes cimport (
    has_forbidden, is_blank, is_word, latin1, need_bytes, put, shortened, unchangeable, value_end,
)
from cyserve._sockets cimport (
    MSG_DONTWAIT, MSG_NOSIGNAL, iovec, msghdr, receive, send, sendmsg,
)

from cyserve import _grammar
from cyserve._errors import InvalidResponseHeader, InvalidResponseHeaderName

__all__ = ("InputBuffer", "OutputBuffer", "ResponseHead")

cdef enum:
    VECTORS = 64        # pieces given to one system call
    USUAL = 64          # pieces that an empty output buffer keeps room for
    SPARE = 16384       # bytes that are received at once while a request is awaited

# -- tables, built once from the grammar ---------------------------------------------------------

cdef unsigned char not_token[256]   # 1: the byte may not occur

cdef struct KnownField:
    const char *name                # lower case
    int kind

cdef list NAMES = [name.encode() for name in _grammar.RESPONSE_FIELDS]  # keeps them alive
cdef KnownField known[16]
cdef int known_count = 0
cdef unsigned int known_sizes = 0   # a bit for each length that occurs among them

cdef int CONNECTION = _grammar.CONNECTION
cdef int CONTENT_LENGTH = _grammar.CONTENT_LENGTH
cdef int UPGRADE = _grammar.UPGRADE


cdef int build_tables() except -1:
    global known_count, known_sizes
    cdef int byte
    for byte in range(256):
        not_token[byte] = byte not in _grammar.TOKEN
    for name, kind in zip(NAMES, _grammar.RESPONSE_FIELDS.values()):
        if known_count == 16 or len(name) > 31:
            raise ImportError("_grammar.RESPONSE_FIELDS has outgrown its table")
        known[known_count] = KnownField(<bytes> name, kind)
        known_count += 1
        known_sizes |= 1U << len(name)
    return 0


build_tables()


cdef char *spare = NULL   # the memory of a buffer that was released, of SPARE bytes


cdef class InputBuffer:
    """Bytes received on a connection and not yet consumed.

    data: bytes to begin with.
    """

    def __cinit__(self, data: bytes = b""):
        self.data = NULL
        self.start = self.end = self.capacity = self.scanned = 0

    def __init__(self, data: bytes = b""):
        if data:
            self.feed(data)

    def __dealloc__(self):
        self.end = self.start
        self.release()

    def __len__(self) -> int:
        return self.end - self.start

    cdef int reserve(self, Py_ssize_t room) except -1:
        """Make room for that many more bytes behind `end`."""
        global spare
        cdef Py_ssize_t used = self.end - self.start
        cdef Py_ssize_t wanted
        cdef char *grown
        if self.capacity - self.end >= room:
            return 0
        if self.capacity - used >= room and self.start >= used:
            memmove(self.data, self.data + self.start, used)
        else:
            wanted = max(used + room, 2 * used)
            if wanted == SPARE and spare != NULL:
                grown, spare = spare, NULL
            else:
                grown = <char *> malloc(wanted)
            if grown == NULL:
                raise MemoryError()
            if used:
                memcpy(grown, self.data + self.start, used)
            free(self.data)
            self.data = grown
            self.capacity = wanted
        self.start = 0
        self.end = used
        return 0

    cdef void consume(self, Py_ssize_t size) noexcept:
        self.start += size
        self.scanned = 0
        if self.start == self.end:
            self.start = self.end = 0

    def feed(self, data: bytes) -> None:
        """Append bytes that came by another way than a plain socket."""
        cdef bytes fixed = unchangeable(data)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(fixed)
        self.reserve(size)
        memcpy(self.data + self.end, PyBytes_AS_STRING(fixed), size)
        self.end += size

    cpdef Py_ssize_t fill(self, int fd, Py_ssize_t size = 8192) except -2:
        """Receive once, without blocking, up to `size` bytes from the non-blocking socket `fd`.

        Returns the number of bytes received, 0 at the end of the stream, -1 if there is
        nothing to receive now. Raises OSError as recv(2) does, ValueError if size < 1.
        """
        if size < 1:
            raise ValueError("size must be positive")
        self.reserve(size)
        cdef Py_ssize_t got = receive(fd, self.data + self.end, size)
        if got > 0:
            self.end += got
        return got

    cpdef bytes draw(self, int fd, Py_ssize_t size):
        """Consume up to `size` bytes; what is not here yet is received, once, without blocking.

        It goes straight to where it is returned. b"" at the end of the stream, None if there is
        nothing yet. Raises as `fill` does, and consumes nothing then.
        """
        cdef Py_ssize_t have = self.end - self.start
        cdef Py_ssize_t got
        cdef PyObject *owned
        if size < 1:
            raise ValueError("size must be positive")
        if have >= size:
            return self.take(size)
        drawn = PyBytes_FromStringAndSize(NULL, size)
        got = receive(fd, PyBytes_AS_STRING(drawn) + have, size - have)
        if got < 0 and not have:
            return None
        if have:
            memcpy(PyBytes_AS_STRING(drawn), self.data + self.start, have)
            self.consume(have)
        Py_INCREF(drawn)
        owned, drawn = <PyObject *> drawn, None   # the only reference
        return shortened(owned, have + max(0, got))

    def peek(self, Py_ssize_t size) -> bytes:
        """The first `size` bytes, or fewer, without consuming them."""
        return PyBytes_FromStringAndSize(
            self.data + self.start, max(0, min(size, self.end - self.start)))

    cpdef bytes take(self, Py_ssize_t size):
        """Consume and return up to `size` bytes."""
        size = max(0, min(size, self.end - self.start))
        cdef bytes taken = PyBytes_FromStringAndSize(self.data + self.start, size)
        self.consume(size)
        return taken

    cpdef Py_ssize_t skip(self, Py_ssize_t size) except -1:
        """Consume up to `size` bytes unseen and return how many they were."""
        size = max(0, min(size, self.end - self.start))
        self.consume(size)
        return size

    cpdef void release(self) noexcept:
        """Give the memory back if nothing is kept in it, as on an idle connection."""
        global spare
        if self.start == self.end:
            if self.capacity == SPARE and spare == NULL:
                spare = self.data   # whoever needs as much next gets it: the usual case
            else:
                free(self.data)
            self.data = NULL
            self.start = self.end = self.capacity = 0


cdef inline int kind_of(const char *name, Py_ssize_t size) noexcept nogil:
    """What _grammar.RESPONSE_FIELDS says about a field; 0 if it is not among them."""
    cdef Py_ssize_t place
    if size < 32 and known_sizes >> size & 1:
        for place in range(known_count):
            if is_word(name, size, known[place].name):
                return known[place].kind
    return 0


cdef struct Name:        # a name that was found good; it is the application's constant, usually
    PyObject *text       # owned
    int kind

cdef Name names[64]


cdef int kind_of_name(name) except -1:
    """Check a field's name; returns its kind."""
    cdef size_t address = <size_t> <PyObject *> name
    cdef Name *place = &names[(address >> 4 ^ address >> 10) & 63]
    if place.text == <PyObject *> name:
        return place.kind
    if not isinstance(name, str):
        raise TypeError(f"{name!r} is not a string")
    cdef const unsigned char *text = <const unsigned char *> PyUnicode_DATA(name)
    cdef Py_ssize_t size = PyUnicode_GET_LENGTH(name)
    cdef bint good = size > 0 and PyUnicode_KIND(name) == PyUnicode_1BYTE_KIND
    if not good or has_forbidden(text, size, not_token):
        raise InvalidResponseHeaderName(repr(name))
    cdef int kind = kind_of(<const char *> text, size)
    if type(name) is str:
        Py_INCREF(name)
        Py_XDECREF(place.text)
        place.text, place.kind = <PyObject *> name, kind
    return kind


@cython.freelist(8)
cdef class ResponseHead:
    """Status line and fields of an answer, checked and serialised in one pass.

    status: three digits, then perhaps a space and a phrase without control bytes (RFC 9112 4).
    headers: (name, value) pairs of str, in the order in which they are to be sent.

    Kept as they are: order, and case of names. Not kept: SP and TAB around values, hop-by-hop
    fields, Server, Date, Upgrade (unless to websocket), a second Content-Length that agrees.
    Raises TypeError for anything that is not a str or a pair, ValueError for a bad status or
    Content-Length, InvalidResponseHeaderName and InvalidResponseHeader for what RFC 9110 5.1 and
    5.5 do not allow: no CR, LF or NUL ever gets through.
    """

    def __cinit__(self):
        self.status = ""
        self.lines = self.small
        self.capacity = SMALL
        self.length = -1

    def __init__(self, status, headers):
        self.restart(status, headers)

    cpdef int restart(self, status, headers) except -1:
        """Be the head of another answer, as if made anew."""
        if not isinstance(status, str):
            raise TypeError(f"{status!r} is not a string")
        if not self.take_status(status):
            raise ValueError(f"Invalid status {status!r}")
        self.shown = None
        self.asked_upgrade = self.asked_close = False
        self.take(headers)
        return 0

    def __dealloc__(self):
        if self.lines != self.small:
            free(self.lines)

    @property
    def content_length(self) -> int:
        """What the application announced, in bytes; -1: nothing."""
        self.settle()
        return self.length

    @property
    def upgrade(self) -> bool:
        """The application asked for Connection: upgrade."""
        self.settle()
        return self.asked_upgrade

    @property
    def close(self) -> bool:
        """The application sent Connection: close."""
        self.settle()
        return self.asked_close

    @property
    def headers(self) -> list:
        """The fields kept, as (name, value).

        The list may be changed or replaced. Once it has been asked for it is what counts, and it
        is checked again whenever something depends on it.
        """
        if self.shown is None:
            self.shown = self.listed()
        return self.shown

    @headers.setter
    def headers(self, headers):
        self.shown = self.headers   # still valid if the new ones are refused
        self.take(headers)
        self.shown = self.listed()

    cdef bint take_status(self, status) except -1:
        cdef Py_ssize_t size = PyUnicode_GET_LENGTH(status)
        cdef const unsigned char *text = <const unsigned char *> PyUnicode_DATA(status)
        cdef const char *end = <const char *> text + size
        cdef bint high = False
        cdef int place, code = 0
        if PyUnicode_KIND(status) != PyUnicode_1BYTE_KIND or size < 3:
            return False
        for place in range(3):
            if not c"0" <= text[place] <= c"9":
                return False
            code = 10 * code + text[place] - c"0"
        if size > 3 and text[3] != c" ":
            return False
        if value_end(<const char *> text + 3, end, &high) != end:
            return False
        self.status = PyUnicode_FromObject(status)
        self.status_code = code
        return True

    cdef int settle(self) except -1:
        if self.shown is not None:
            self.take(self.shown)
        return 0

    cdef int take(self, headers) except -1:
        """Check the fields, and keep those that are to be sent."""
        self.size = self.length_at = self.length_size = 0
        self.length = -1
        if not isinstance(headers, (list, tuple)):
            headers = list(headers)
        for field in headers:
            pair = tuple(field) if isinstance(field, list) else field
            if not isinstance(pair, tuple) or len(<tuple> pair) != 2:
                raise TypeError(f"{field!r} is not a pair of name and value")
            self.add((<tuple> pair)[0], (<tuple> pair)[1])
        return 0

    cdef int add(self, name, value) except -1:
        """Check and copy one field, then keep it or not."""
        cdef int kind = kind_of_name(name)
        if not isinstance(value, str):
            raise TypeError(f"{value!r} is not a string")
        if PyUnicode_KIND(value) != PyUnicode_1BYTE_KIND:
            raise InvalidResponseHeader(repr(name))
        cdef const unsigned char *text = <const unsigned char *> PyUnicode_DATA(value)
        cdef Py_ssize_t name_size = PyUnicode_GET_LENGTH(name)
        cdef Py_ssize_t value_size = PyUnicode_GET_LENGTH(value)
        while value_size and is_blank(text[0]):
            text += 1
            value_size -= 1
        while value_size and is_blank(text[value_size - 1]):
            value_size -= 1
        cdef const char *end = <const char *> text + value_size
        cdef bint high = False
        if value_end(<const char *> text, end, &high) != end:
            raise InvalidResponseHeader(repr(name))
        cdef Py_ssize_t line_size = name_size + 2 + value_size + 2
        self.reserve(line_size)
        cdef char *line = self.lines + self.size
        cdef char *to = put(line, PyUnicode_DATA(name), name_size)
        to = put(to, b": ", 2)
        to = put(to, text, value_size)
        put(to, b"\r\n", 2)
        if kind == 0 or self.keep(kind, to - value_size, value_size, line_size):
            self.size += line_size
        return 0

    cdef int reserve(self, Py_ssize_t room) except -1:
        cdef Py_ssize_t wanted = self.size + room
        cdef char *grown
        if wanted <= self.capacity:
            return 0
        wanted = 2 * wanted
        grown = <char *> realloc(NULL if self.lines == self.small else self.lines, wanted)
        if grown == NULL:
            raise MemoryError()
        if self.lines == self.small:
            memcpy(grown, self.small, SMALL)
        self.lines = grown
        self.capacity = wanted
        return 0

    cdef bint keep(self, int kind, const char *text, Py_ssize_t size,
                   Py_ssize_t line_size) except -1:
        """Heed a field that means something to the server; tell whether it is sent too."""
        if kind == CONTENT_LENGTH:
            return self.keep_length(text, size, line_size)
        if kind == UPGRADE:
            return is_word(text, size, b"websocket")
        if kind == CONNECTION:
            upgrade, close = _grammar.response_options(latin1(text, size))
            self.asked_upgrade |= <bint> upgrade
            self.asked_close |= <bint> close
        return False

    cdef bint keep_length(self, const char *text, Py_ssize_t size,
                          Py_ssize_t line_size) except -1:
        cdef long long length = 0
        cdef Py_ssize_t place
        cdef bint good = 1 <= size <= 18
        for place in range(size if good else 0):
            good = good and c"0" <= text[place] <= c"9"
            length = 10 * length + text[place] - c"0"
        if not good:
            raise ValueError(f"Invalid Content-Length {latin1(text, size)!r}")
        if self.length >= 0:
            if length != self.length:
                raise ValueError(f"Contradictory Content-Length {latin1(text, size)!r}")
            return False
        self.length = length
        self.length_at = self.size
        self.length_size = line_size
        return True

    cdef list listed(self):
        """The fields kept, as a list."""
        cdef list found = []
        cdef const char *line = self.lines
        cdef const char *end = self.lines + self.size
        cdef const char *colon
        cdef const char *cr
        while line < end:
            colon = <const char *> memchr(line, c":", end - line)
            cr = <const char *> memchr(colon, c"\r", end - colon)
            found.append((latin1(line, colon - line), latin1(colon + 2, cr - colon - 2)))
            line = cr + 2
        return found

    cpdef bint whole(self, Py_ssize_t size) except -1:
        """Whether a body of just that many bytes is all there is to the answer.

        That is: they are announced, the status goes with a body (not 1xx, 204, 304), and neither
        upgrade nor close was asked for.
        """
        self.settle()
        return (
            self.length == size and self.status_code >= 200 and self.status_code != 204
            and self.status_code != 304 and not (self.asked_upgrade or self.asked_close)
        )

    cpdef bytes serialize(self, start, fields, body=b"", bint length=True):
        """The whole head, and a small body behind it, as it goes to the wire.

        start: what precedes the status, as b"HTTP/1.1 ". fields: the server's own lines, each with
        its CRLF. length: False leaves Content-Length out (RFC 9110 8.6: 1xx, 204).
        Raises what the constructor raises if the list `headers` has been changed for the worse,
        TypeError if start, fields or body is not bytes.
        """
        self.settle()
        need_bytes(start)
        need_bytes(fields)
        need_bytes(body)
        cdef Py_ssize_t status_size = PyUnicode_GET_LENGTH(self.status)
        cdef Py_ssize_t left_out = 0 if length else self.length_size
        cdef Py_ssize_t before = self.length_at if left_out else self.size
        cdef Py_ssize_t after = self.size - before - left_out
        cdef bytes whole = PyBytes_FromStringAndSize(
            NULL, PyBytes_GET_SIZE(start) + status_size + 2 + PyBytes_GET_SIZE(fields)
            + before + after + 2 + PyBytes_GET_SIZE(body))
        cdef char *to = PyBytes_AS_STRING(whole)
        to = put(to, PyBytes_AS_STRING(start), PyBytes_GET_SIZE(start))
        to = put(to, PyUnicode_DATA(self.status), status_size)
        to = put(to, b"\r\n", 2)
        to = put(to, PyBytes_AS_STRING(fields), PyBytes_GET_SIZE(fields))
        to = put(to, self.lines, before)
        to = put(to, self.lines + before + left_out, after)
        to = put(to, b"\r\n", 2)
        put(to, PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))
        return whole


cdef class OutputBuffer:
    """Bytes to be sent on a connection and not yet taken by the socket.

    What is written is held by reference, not copied, unless it can change (bytearray, memoryview).
    """

    def __cinit__(self):
        self.pieces = NULL
        self.first = self.count = self.capacity = self.size = 0

    def __dealloc__(self):
        self.drop(self.size)
        free(self.pieces)

    def __len__(self) -> int:
        return self.size

    cdef Piece *append(self, Py_ssize_t size) except NULL:
        """A new last piece of that size, for the caller to fill in at once."""
        cdef Piece *piece
        cdef Py_ssize_t wanted
        if self.first + self.count == self.capacity:
            if self.first > self.count:
                memcpy(self.pieces, self.pieces + self.first, self.count * sizeof(Piece))
                self.first = 0
            else:
                wanted = max(4, 2 * self.capacity)
                piece = <Piece *> realloc(self.pieces, wanted * sizeof(Piece))
                if piece == NULL:
                    raise MemoryError()
                self.pieces = piece
                self.capacity = wanted
        piece = self.pieces + self.first + self.count
        self.count += 1
        self.size += size
        piece.size = size
        piece.owner = NULL
        piece.data = NULL
        return piece

    cdef int append_bytes(self, bytes data) except -1:
        cdef Piece *piece = self.append(PyBytes_GET_SIZE(data))
        Py_INCREF(data)
        piece.owner = <PyObject *> data
        piece.data = PyBytes_AS_STRING(data)
        return 0

    cpdef void write(self, data) except *:
        """Queue bytes, a bytearray or a memoryview. No system call."""
        cdef bytes fixed = unchangeable(data)
        if PyBytes_GET_SIZE(fixed):
            self.append_bytes(fixed)

    cpdef void write_chunk(self, data) except *:
        """Queue data as one chunk (RFC 9112 7.1); nothing if empty, which would end the body."""
        cdef bytes fixed = unchangeable(data)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(fixed)
        cdef char digits[LONGEST_LINE]
        cdef int used = 0
        cdef Piece *piece
        if size == 0:
            return
        while size:
            used += 1
            digits[LONGEST_LINE - used] = b"0123456789ABCDEF"[size & 15]
            size >>= 4
        piece = self.append(used + 2)
        memcpy(piece.line, digits + LONGEST_LINE - used, used)
        memcpy(piece.line + used, b"\r\n", 2)
        self.append_bytes(fixed)
        self.append(2).data = b"\r\n"

    cpdef void end_chunks(self) except *:
        """Queue the last chunk and an empty trailer section (RFC 9112 7.1)."""
        self.append(5).data = b"0\r\n\r\n"

    cpdef Py_ssize_t flush(self, int fd) except -1:
        """Send on the non-blocking socket `fd`, again while it takes all that it is given.

        Returns the number of bytes still to be sent. Raises OSError as send(2) does; then nothing
        more has been sent, and what was not is still there.
        """
        cdef Py_ssize_t given = 0
        cdef ssize_t sent
        while self.size:
            sent = self.send_some(fd, &given)
            if sent < 0:
                if errno == EINTR:
                    continue
                if errno == EAGAIN:
                    break
                PyErr_SetFromErrno(OSError)
            self.drop(sent)
            if sent < given:
                break
        return self.size

    cpdef Py_ssize_t send_now(self, int fd, bytes data) except -1:
        """As write(data), then flush(fd)."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef ssize_t sent = 0
        if size and not self.size:
            sent = send(fd, PyBytes_AS_STRING(data), size, MSG_DONTWAIT | MSG_NOSIGNAL)
            if sent == size:
                return 0
        self.write(data)
        self.drop(max(0, sent))
        return self.flush(fd)

    cdef ssize_t send_some(self, int fd, Py_ssize_t *given) noexcept:
        """One system call with the first pieces; tells how many bytes they had."""
        cdef Piece *piece = self.pieces + self.first
        cdef iovec vectors[VECTORS]
        cdef msghdr message
        cdef Py_ssize_t place
        cdef Py_ssize_t count = min(self.count, VECTORS)
        if count == 1:
            given[0] = piece.size
            return send(fd, bytes_of(piece), piece.size, MSG_DONTWAIT | MSG_NOSIGNAL)
        given[0] = 0
        for place in range(count):
            vectors[place].iov_base = <void *> bytes_of(piece + place)
            vectors[place].iov_len = piece[place].size
            given[0] += piece[place].size
        memset(&message, 0, sizeof(message))
        message.msg_iov = vectors
        message.msg_iovlen = count
        return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)

    cdef void drop(self, Py_ssize_t size) noexcept:
        """Drop that many bytes, which must be there, from the front."""
        cdef Piece *piece
        self.size -= size
        while size:
            piece = self.pieces + self.first
            if size < piece.size:
                piece.size -= size
                if piece.data == NULL:
                    memmove(piece.line, piece.line + size, piece.size)
                else:
                    piece.data += size
                return
            size -= piece.size
            self.first += 1
            self.count -= 1
            if piece.owner != NULL:
                Py_DECREF(<object> piece.owner)
        if self.count == 0:
            self.first = 0
            if self.capacity > USUAL:  # of a stream: an idle connection does not keep that
                free(self.pieces)
                self.pieces = NULL
                self.capacity = 0

    def peek(self, Py_ssize_t size) -> bytes:
        """The first `size` bytes, or fewer, for a transport that is not a plain socket (TLS)."""
        cdef Piece *piece = self.pieces + self.first
        cdef bytes whole
        cdef char *to
        cdef Py_ssize_t part
        size = max(0, min(size, self.size))
        if self.count and piece.size == size and piece.owner != NULL:
            whole = <bytes> piece.owner
            if PyBytes_GET_SIZE(whole) == size:
                return whole
        whole = PyBytes_FromStringAndSize(NULL, size)
        to = PyBytes_AS_STRING(whole)
        while size:
            part = min(size, piece.size)
            to = put(to, bytes_of(piece), part)
            size -= part
            piece += 1
        return whole

    def skip(self, Py_ssize_t size) -> None:
        """Drop up to `size` bytes from the front: such a transport has taken them."""
        self.drop(max(0, min(size, self.size)))

    def clear(self) -> None:
        """Drop everything."""
        self.drop(self.size)
