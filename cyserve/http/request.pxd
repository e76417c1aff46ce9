"""C types of request.py."""

from cyserve._parser cimport RequestHead
from cyserve.http.transport cimport PlainTransport

cdef class Origin:
    cdef public object address, endpoint
    cdef public PlainTransport transport
    cdef public dict template
    cdef public Py_ssize_t requests
    cdef public int lane
    cdef public bint expect_continue, keep


cdef class RequestCore:
    cdef public object head, script_name, forwarded_scheme, body, failure, answer
    cdef public Origin connection
    cdef RequestHead direct
    cdef public bint must_close, lent
    cdef public Py_ssize_t req_number

    cdef begin(self, object head, Origin connection)
    cdef reset(self)
    cdef bint plain(self) except -1
    cdef bint persistent(self) except -1
    cdef bint has_body(self) except -1
    cdef dict fill_environ(self, dict template)
