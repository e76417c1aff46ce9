"""C types of scoreboard.py."""

cimport cython

from cyserve._parser cimport RequestHead
from cyserve._runtime cimport Lane, Number

cdef class Serving:
    cdef public bint alive
    cdef public Py_ssize_t nr


cdef class Slot:
    cdef readonly Py_ssize_t lanes
    cdef object _board, _bytes, _words
    cdef list _offset, _start, _lanes
    cdef Number _connections
    cdef bint _compiled

    cpdef count(self, Py_ssize_t connections)

    @cython.locals(found=Lane)
    cpdef begin(self, bytes line, Py_ssize_t lane = *)

    @cython.locals(found=Lane, good=RequestHead)
    cpdef mark(self, head, Py_ssize_t lane = *)

    @cython.locals(found=Lane)
    cpdef end(self, Py_ssize_t lane = *)
