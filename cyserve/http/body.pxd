"""C types of body.py."""

cimport cython

from cyserve._io cimport InputBuffer
from cyserve._parser cimport RequestHead
from cyserve.http.transport cimport PlainTransport

cdef long long _PIECE, _STRAIGHT


cdef class _Source:
    cdef public object transport, input, before_waiting
    cdef PlainTransport plain
    cdef InputBuffer direct
    cdef public double timeout

    @cython.locals(plain=PlainTransport)
    cdef int attach(self, object transport, double timeout) except -1

    @cython.locals(plain=PlainTransport, data=bytes, got=Py_ssize_t)
    cdef bytes more(self, long long straight=*)
    cdef int wait(self) except -1


cdef class LengthReader(_Source):
    cdef public long long left

    cdef int begin(self, object transport, double timeout, long long length) except -1

    @cython.locals(direct=InputBuffer, have=Py_ssize_t)
    cpdef bint ready(self, long long limit) except -1

    @cython.locals(direct=InputBuffer, have=Py_ssize_t, data=bytes)
    cpdef bytes read(self, long long size)

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

    cdef int _begin(self, object reader) except -1

    @cython.locals(sized=LengthReader)
    cdef bint _has_come(self, long long limit) except -1

    @cython.locals(sized=LengthReader)
    cdef bint _drop(self) except -1

    @cython.locals(sized=LengthReader)
    cdef bytes _next(self, long long size)

    @cython.locals(sized=LengthReader)
    cdef bint _at_end(self) except -1

    @cython.locals(left="long long", data=bytes, pieces=list)
    cpdef bytes read(self, object size=*)

    @cython.locals(left="long long", end=Py_ssize_t, data=bytes, pieces=list)
    cpdef bytes readline(self, object size=*)


cdef class Opener:
    cdef public object rules
    cdef public double timeout
    cdef public long long most
    cdef public bint as_written

    @cython.locals(length="long long", chunked=bint, sized=LengthReader, body=BodyCore)
    cpdef BodyCore open(self, object head, RequestHead direct, object transport)


cdef BodyCore _blank(type cls)
cdef long long _bound(object size) except -1
