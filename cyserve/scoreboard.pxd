"""C types of scoreboard.py."""

cimport cython

from cyserve._io cimport Lane

cdef class Slot:
    cdef readonly Py_ssize_t lanes
    cdef object _board, _bytes, _words
    cdef list _offset, _start, _lanes, _direct

    @cython.locals(direct=list, found=Lane)
    cpdef begin(self, bytes line, Py_ssize_t lane = *)

    @cython.locals(direct=list, found=Lane)
    cpdef end(self, Py_ssize_t lane = *)
