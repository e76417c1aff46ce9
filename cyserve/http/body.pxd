"""C types of body.py."""

cdef class _Source:
    cdef public object transport, input, before_waiting
    cdef public double timeout


cdef class LengthReader(_Source):
    cdef public long long left


cdef class ChunkedReader(_Source):
    cdef public object decoder
    cdef public long long limit, size
    cdef public list gathered
    cdef public Py_ssize_t gathered_size


cdef class BodyCore:
    cdef public object reader
    cdef public bytes rest
    cdef public bint failed


cdef long long _bound(object size) except -1
