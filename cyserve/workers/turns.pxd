"""C types of turns.py."""

cimport cython

cdef double _IDLE, _LONG, _BLOCKED, _PROBE, _TURN


cdef class Hand:
    cdef public Py_ssize_t lane, streak
    cdef public double began, since


cdef class Turns:
    cdef public list role, hands
    cdef public Py_ssize_t active
    cdef public bint contended
    cdef public double slow, patience

    @cython.locals(hand=Hand)
    cpdef Py_ssize_t enter(self, Py_ssize_t thread, double now) except -1

    @cython.locals(hand=Hand, long=bint)
    cpdef bint leave(self, Py_ssize_t thread, double now) except -1

    @cython.locals(hand=Hand)
    cpdef bint must_pause(self, Py_ssize_t thread, double now) except -1
