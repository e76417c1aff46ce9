"""C types of turns.py."""

cimport cython

cdef double _IDLE, _LONG, _BLOCKED, _PROBE, _TURN


cdef class Turns:
    cdef public list role, lane, began, streak, since
    cdef public Py_ssize_t active
    cdef public bint contended
    cdef public double slow, patience

    cpdef enter(self, Py_ssize_t thread, double now)

    @cython.locals(began=double, long=bint)
    cpdef bint leave(self, Py_ssize_t thread, double now) except -1
    cpdef bint must_pause(self, Py_ssize_t thread, double now) except -1
