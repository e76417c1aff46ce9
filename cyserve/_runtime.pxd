"""What other compiled modules may call and see of `_runtime`."""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

cdef enum:
    LANE_LINE = 96      # bytes of a request line on the scoreboard
    ROOM = 64   # things in a pool, at most


@cython.final
cdef class Clock:
    cdef public double ahead

    cpdef double monotonic(self) noexcept
    cpdef long long second(self) noexcept


@cython.final
cdef class Mutex:
    cdef void *lock
    cdef bint held

    cpdef bint acquire(self, bint blocking = *, double timeout = *) except -1
    cdef bint wait(self, double timeout) except -1
    cpdef int release(self) except -1


@cython.final
cdef class Pool:
    cdef PyObject *kept[ROOM]
    cdef Py_ssize_t count, most

    cpdef object take(self)
    cpdef bint alone(self, object thing, Py_ssize_t references) except -1
    cpdef bint give(self, object thing) except -1


@cython.final
cdef class Gate:
    cdef readonly object address
    cdef str host               # the last IPv4 address, and its octets
    cdef unsigned int octets

    cpdef int accept(self, int fd) except -2
    cpdef int close(self, int fd) except -1


@cython.final
cdef class Number:
    cdef Py_buffer view
    cdef uint64_t *word

    cpdef void store(self, uint64_t number) noexcept


@cython.final
cdef class Row:
    cdef list places
    cdef Py_ssize_t first
    cdef readonly Py_ssize_t count

    cpdef int push(self, object thing) except -1
    cpdef object pop(self)


cdef class Lane:
    cdef Py_buffer view
    cdef char *line
    cdef uint64_t *numbers      # requests begun; monotonic nanoseconds, 0: idle
    cdef void note(self, const char *line, Py_ssize_t size) noexcept
    cpdef void begin(self, bytes line) except *
    cpdef void end(self) noexcept
