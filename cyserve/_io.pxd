"""What other compiled modules may call and see of `_io`."""

from cpython.object cimport PyObject

cdef enum:
    SMALL = 256         # bytes of response fields that need no memory of their own
    LONGEST_LINE = 24   # a chunk-size line: 16 hex digits and CRLF


cdef class InputBuffer:
    cdef char *data             # malloc'ed; NULL while there is nothing to keep
    cdef Py_ssize_t start       # first byte not yet consumed
    cdef Py_ssize_t end         # one past the last byte received
    cdef Py_ssize_t capacity
    cdef readonly Py_ssize_t scanned   # bytes after `start` searched for the end of a line or head

    cdef int reserve(self, Py_ssize_t room) except -1
    cdef void consume(self, Py_ssize_t size) noexcept
    cpdef Py_ssize_t fill(self, int fd, Py_ssize_t size = *) except -2
    cpdef bytes draw(self, int fd, Py_ssize_t size)
    cpdef bytes take(self, Py_ssize_t size)
    cpdef Py_ssize_t skip(self, Py_ssize_t size) except -1
    cpdef void release(self) noexcept


cdef class ResponseHead:
    cdef readonly str status        # the status line's code and phrase, e.g. "200 OK"
    cdef readonly int status_code   # the three digits as a number
    cdef list shown                 # what `headers` has handed out
    cdef char *lines                # the fields kept, each "name: value\r\n"
    cdef Py_ssize_t size
    cdef Py_ssize_t capacity
    cdef Py_ssize_t length_at       # where in them the Content-Length line is
    cdef Py_ssize_t length_size     # 0: there is none
    cdef long long length
    cdef bint asked_upgrade         # once asked for, for good: `headers` tells no more
    cdef bint asked_close
    cdef char small[SMALL]

    cpdef int restart(self, status, headers) except -1
    cdef bint take_status(self, status) except -1
    cdef int settle(self) except -1
    cdef int take(self, headers) except -1
    cdef int add(self, name, value) except -1
    cdef int reserve(self, Py_ssize_t room) except -1
    cdef bint keep(
        self, int kind, const char *text, Py_ssize_t size, Py_ssize_t line_size) except -1
    cdef bint keep_length(self, const char *text, Py_ssize_t size, Py_ssize_t line_size) except -1
    cdef list listed(self)
    cpdef bint whole(self, Py_ssize_t size) except -1
    cpdef bytes serialize(self, start, fields, body = *, bint length = *)


cdef struct Piece:
    PyObject *owner             # keeps `data` alive; NULL: constant, or `line`
    const char *data            # NULL: the bytes are in `line`
    Py_ssize_t size
    char line[LONGEST_LINE]


cdef inline const char *bytes_of(const Piece *piece) noexcept nogil:
    if piece.data == NULL:
        return piece.line
    return piece.data


cdef class OutputBuffer:
    cdef Piece *pieces          # malloc'ed at the first write
    cdef Py_ssize_t first
    cdef Py_ssize_t count
    cdef Py_ssize_t capacity
    cdef Py_ssize_t size        # bytes in all pieces

    cdef Piece *append(self, Py_ssize_t size) except NULL
    cdef int append_bytes(self, bytes data) except -1
    cdef ssize_t send_some(self, int fd, Py_ssize_t *given) noexcept
    cdef void drop(self, Py_ssize_t size) noexcept
    cpdef void write(self, data) except *
    cpdef void write_chunk(self, data) except *
    cpdef void end_chunks(self) except *
    cpdef Py_ssize_t flush(self, int fd) except -1
    cpdef Py_ssize_t send_now(self, int fd, bytes data) except -1
