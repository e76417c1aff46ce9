"""C types of connection_loop.py."""

cimport cython

from cyserve._runtime cimport Clock, Gate, Row
from cyserve.http.connection cimport Connection
from cyserve.http.context cimport Context
from cyserve.http.cycle cimport Cycle
from cyserve.http.transport cimport Allowance, PlainTransport
from cyserve.scoreboard cimport Serving, Slot

cdef int _READ, _WRITE, _RUN, _NEWS, _WAITING, _READY, _RUNNING
cdef double _LOOK
cdef Clock _clock
cdef Gate _gate


cdef class ConnectionLoop:
    cdef public Serving worker
    cdef public Slot slot
    cdef public object log, waiter, postponed, poller, others, certificates, make_transport
    cdef public Row ready
    cdef public object arrivals
    cdef public list passed
    cdef public Context context
    cdef public double graceful_timeout, now, due, earliest, stop_at, farewell
    cdef public double next_complaint, next_look, next_breath, hold_until, next_count
    cdef public Py_ssize_t max_connections, share
    cdef public dict endpoints, connections
    cdef public int wake_fd, news
    cdef public bint accepting, lightest, open, held, reuses

    @cython.locals(ready=Row, connection=Connection, step=int)
    cpdef Connection next(self)

    @cython.locals(connection=Connection)
    cpdef arrived(self, list found)

    @cython.locals(now=double)
    cpdef answered(self, Connection connection)

    @cython.locals(interest=int)
    cpdef settle(self, Connection connection, int step)

    @cython.locals(connection=Connection, step=int)
    cdef Connection _accept(self)

    @cython.locals(worker=Serving, allowance=Allowance, connection=Connection, next_beat=double)
    cpdef run(self, object serve, Cycle cycle = *)
    cdef Py_ssize_t _fair_share(self) except -1

    @cython.locals(connection=Connection)
    cdef Connection _take_from(self, object endpoint, int listener)

    @cython.locals(connection=Connection, transport=PlainTransport)
    cdef Connection _connection(self, int fd, object address, object endpoint)
    cdef bint _register(self, Connection connection, int interest) except -1
    cdef _unregister(self, Connection connection)
    cdef _close(self, Connection connection)
