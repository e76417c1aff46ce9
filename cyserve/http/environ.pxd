"""C types of environ.py."""

cimport cython

from cyserve.http.request cimport Origin, RequestCore

cdef str _decimal(long long number)
cdef _name_peer(dict environ, object address, object sock)


cdef class Endpoint:
    cdef public object listener, address, scheme, script_name
    cdef public bint is_unix
    cdef public dict template

    @cython.locals(template=dict)
    cpdef dict connection_template(self, object address, object sock)

    @cython.locals(template=dict)
    cpdef dict template_of(self, Origin connection)

    @cython.locals(connection=Origin, environ=dict, template=dict)
    cpdef dict make_environ(self, RequestCore req, object early_hints)
