"""C types of turns.py."""

cimport cython

cdef double _IDLE, _LONG, _BLOCKED, _PROBE, _TURN
cdef int _ACTIVE, _WAIT, _GUARD, _PARK


cdef class Hand:
    cdef public Py_ssize_t lane, streak
    cdef public double began, since


cdef class Turns:
    cdef public list role, hands
    cdef public Py_ssize_t active
    cdef public bint contended
    cdef public double slow, patience

    @cython.locals(role=int, counted_on=bint)
    cpdef int rest(self, Py_ssize_t thread, double now) except -1

    @cython.locals(hand=Hand, thread=Py_ssize_t)
    cpdef bint counted_on(self, double now) except -1

    @cython.locals(hand=Hand)
    cpdef bint wake(self, Py_ssize_t thread, double now) except -1

    @cython.locals(hand=Hand)
    cpdef Py_ssize_t enter(self, Py_ssize_t thread, double now) except -1

    @cython.locals(hand=Hand, long=bint)
    cpdef bint leave(self, Py_ssize_t thread, double now) except -1

    @cython.locals(hand=Hand)
    cpdef bint must_pause(self, Py_ssize_t thread, double now) except -1
