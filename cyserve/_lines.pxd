"""What other compiled modules may call and see of `_lines`."""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t


cdef struct Step:
    int code
    PyObject *need
    const char *text    # that stands behind the value
    Py_ssize_t size


cdef struct Room:       # where a line is made
    char *data
    Py_ssize_t size, capacity
    char *more          # malloc'ed, or NULL


@cython.final
cdef class FormatLine:
    cdef Step *steps
    cdef int count
    cdef bytes first        # the text before the first value
    cdef list kept          # what the steps point to
    cdef object escape, time_text
    cdef bytes stamp        # the time as text, made once a second
    cdef long long second   # of `stamp`

    cdef int fill(
        self, Room *room, resp, req, environ, took, double started, status, Py_ssize_t sent
    ) except -1
    cdef int add_value(self, Room *room, value) except -1
    cdef int add_field(self, Room *room, environ, key) except -1
    cdef int add_request(self, Room *room, environ) except -1
    cdef int add_status(self, Room *room, status) except -1
    cdef int add_time(self, Room *room) except -1
    cpdef bytes make(self, resp, req, environ, request_time)


@cython.final
cdef class Tray:
    cdef Py_buffer view
    cdef uint64_t *state    # the lower half: where the lines end; the upper: where they begin
    cdef char *lines
    cdef Py_ssize_t room
    cdef public FormatLine line
    cdef public Py_ssize_t count

    cpdef bint note(
        self, resp, req, environ, status, Py_ssize_t sent, double started) except -1
    cdef bint put(self, const char *line, Py_ssize_t size) noexcept
    cpdef bint add(self, bytes line) except -1
    cpdef empty(self, int fd)
