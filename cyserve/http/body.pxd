"""C types of body.py."""

cimport cython

from cyserve._io cimport InputBuffer
from cyserve.http.transport cimport PlainTransport

cdef long long _PIECE, _STRAIGHT


cdef class _Source:
    cdef public object transport, input, before_waiting
    cdef PlainTransport plain
    cdef InputBuffer direct
    cdef public double timeout

    cdef int attach(self, object transport, double timeout) except -1

    @cython.locals(plain=PlainTransport, got=Py_ssize_t)
    cdef int more(self) except -1
    cdef int wait(self) except -1


cdef class LengthReader(_Source):
    cdef public long long left

    @cython.locals(direct=InputBuffer, have=Py_ssize_t)
    cpdef bint ready(self, long long limit) except -1

    @cython.locals(direct=InputBuffer, have=Py_ssize_t, data=bytes)
    cpdef bytes read(self, long long size)

    @cython.locals(data=bytes)
    cdef bytes draw(self, long long size)
    cpdef bint skip_received(self) except -1


cdef class ChunkedReader(_Source):
    cdef public object decoder
    cdef public long long limit, size
    cdef public list gathered
    cdef public Py_ssize_t gathered_size

    @cython.locals(data=bytes)
    cpdef bint ready(self, long long limit) except -1

    @cython.locals(data=bytes)
    cpdef bytes read(self, long long size)

    @cython.locals(data=bytes)
    cdef bytes _decode(self, long long size)


cdef class BodyCore:
    cdef public object reader
    cdef public bytes rest
    cdef public bint failed

    @cython.locals(sized=LengthReader)
    cdef bytes _next(self, long long size)

    @cython.locals(left="long long", data=bytes, pieces=list)
    cpdef bytes read(self, object size=*)

    @cython.locals(left="long long", end=Py_ssize_t, data=bytes, pieces=list)
    cpdef bytes readline(self, object size=*)


@cython.locals(length="long long")
cpdef open_body(object head, object transport, object rules, double timeout, long long most)
cdef long long _bound(object size) except -1
