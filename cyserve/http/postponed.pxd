"""C types of postponed.py."""

cimport cython

from cyserve.http.transport cimport PlainTransport

cdef int _PATIENCE


cdef class Postponed:
    cdef public Py_ssize_t size
    cdef public object call, lock
    cdef public set transports
    cdef public int patience

    @cython.locals(queued=Py_ssize_t)
    cpdef bint lend(self, PlainTransport transport) except -1
    cpdef take_back(self, PlainTransport transport)
    cpdef settle(self, PlainTransport transport)

    @cython.locals(transport=PlainTransport)
    cpdef bint send(self) except -1
    cdef bint _send(self, PlainTransport transport) except -1
