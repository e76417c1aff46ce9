"""C types of response.py."""

cdef class _ServerFields:
    cdef long long second
    cdef dict fields
    cpdef bytes get(self, str connection, bint chunked)


cdef class ResponseCore:
    cdef public object req, sock, cfg, transport, status, head, response_length
    cdef public double send_timeout
    cdef public bint framed, chunked, bodyless, must_close, closes, headers_sent, finished
    cdef public Py_ssize_t sent
    cdef dict __dict__
    cdef object __weakref__
