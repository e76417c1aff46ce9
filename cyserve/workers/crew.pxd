"""C types of crew.py."""

cimport cython

from cyserve._runtime cimport Mutex
from cyserve.http.connection cimport Connection
from cyserve.http.cycle cimport Cycle
from cyserve.workers.connection_loop cimport ConnectionLoop
from cyserve.workers.turns cimport Turns

cdef class Crew:
    cdef public object worker, poller, handle
    cdef public Mutex lock
    cdef public ConnectionLoop loop
    cdef public Turns turns
    cdef public Cycle cycle
    cdef public bint stopping

    @cython.locals(loop=ConnectionLoop, turns=Turns, connection=Connection, long=bint, several=bint)
    cpdef serve(self, Py_ssize_t thread)

    @cython.locals(last=bint, cycle=Cycle)
    cdef run(self, Connection connection)
