"""C types of environ.py."""

cimport cython

from cyserve.http.request cimport Origin, RequestCore

cdef class Endpoint:
    cdef public object listener, address, scheme, script_name
    cdef public bint is_unix
    cdef public dict template


@cython.locals(connection=Origin, endpoint=Endpoint, environ=dict)
cpdef dict make_environ(RequestCore req, object early_hints)
