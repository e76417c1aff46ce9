"""C types of transport.py."""

cimport cython

from cyserve._io cimport InputBuffer, OutputBuffer
from cyserve._runtime cimport Gate, Pool

cdef Py_ssize_t _HIGH_WATER
cdef Gate _gate


cdef class Allowance:
    cdef public double total, left

    cpdef restart(self)


cdef class PlainTransport:
    cdef public object sock, waiter, input, output, file, make_head, postponed
    cdef InputBuffer direct_input
    cdef OutputBuffer direct_output
    cdef public int fd
    cdef public Py_ssize_t waiting
    cdef public bint broken, compiled, full, told

    @cython.locals(got=Py_ssize_t)
    cpdef Py_ssize_t fill(self, Py_ssize_t size) except -2

    @cython.locals(data=bytes)
    cpdef bytes draw(self, Py_ssize_t size)

    @cython.locals(pending=Py_ssize_t)
    cpdef Py_ssize_t flush(self) except -1
    cpdef discard(self)

    @cython.locals(fd=int)
    cpdef close(self)
    cpdef release(self)
    cdef begin(self, int fd)

    @cython.locals(received=InputBuffer, queued=OutputBuffer, fd=int)
    cdef bint leave(self, Pool pool) except -1

    @cython.locals(pending=Py_ssize_t)
    cpdef send(self, double seconds)
    cpdef answer(self, bytes data)
    cdef int write(self, bytes data) except -1
    cdef int write_chunk(self, bytes data) except -1
    cdef int rest(self) except -1


cdef class _FileTail:
    cdef public int fd
    cdef public long long offset, count
    cdef public bytes tail
