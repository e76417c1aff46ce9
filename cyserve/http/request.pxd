"""C types of request.py."""

cdef class RequestCore:
    cdef public object head, connection, script_name, forwarded_scheme, body
    cdef public bint must_close
    cdef public Py_ssize_t req_number
    cdef dict __dict__
    cdef object __weakref__
