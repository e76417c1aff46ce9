"""What `_parser` may see of `_io`: the input buffer's memory, and nothing else."""

cdef class InputBuffer:
    cdef char *data             # malloc'ed; NULL while there is nothing to keep
    cdef Py_ssize_t start       # first byte not yet consumed
    cdef Py_ssize_t end         # one past the last byte received
    cdef Py_ssize_t capacity
    cdef readonly Py_ssize_t scanned   # bytes after `start` searched for the end of a line or head

    cdef int reserve(self, Py_ssize_t room) except -1
    cdef void consume(self, Py_ssize_t size) noexcept
