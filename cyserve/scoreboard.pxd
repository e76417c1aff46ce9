"""C types of scoreboard.py."""

cimport cython

from cyserve._io cimport Lane
from cyserve._parser cimport RequestHead

cdef class Serving:
    cdef public bint alive
    cdef public Py_ssize_t nr


cdef class Slot:
    cdef readonly Py_ssize_t lanes
    cdef object _board, _bytes, _words
    cdef list _offset, _start, _lanes, _direct

    @cython.locals(direct=list, found=Lane)
    cpdef begin(self, bytes line, Py_ssize_t lane = *)

    @cython.locals(direct=list, found=Lane, good=RequestHead)
    cpdef mark(self, head, Py_ssize_t lane = *)

    @cython.locals(direct=list, found=Lane)
    cpdef end(self, Py_ssize_t lane = *)
