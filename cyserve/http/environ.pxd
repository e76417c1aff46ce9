"""C types of environ.py."""

cdef class Endpoint:
    cdef public object listener, address, scheme, script_name
    cdef public bint is_unix
    cdef public dict template
