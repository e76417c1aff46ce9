"""C types of connection_loop.py."""

cimport cython

from cyserve.http.connection cimport Connection, Context

cdef int READ, WRITE, RUN, CLOSE, WAITING, READY, RUNNING


cdef class ConnectionLoop:
    cdef public object worker, log, waiter, poller, ready, arrivals
    cdef public Context context
    cdef public double graceful_timeout, now, earliest, stop_at
    cdef public Py_ssize_t max_connections
    cdef public dict endpoints, connections
    cdef public int accepted, wake_fd
    cdef public bint accepting

    @cython.locals(connection=Connection, step=int)
    cpdef Connection next(self)
    @cython.locals(connection=Connection)
    cpdef arrived(self, list found)
    @cython.locals(now=double)
    cpdef answered(self, Connection connection)
    cpdef settle(self, Connection connection, int step)
    @cython.locals(connection=Connection, step=int)
    cdef Connection _accept(self)
    cdef _register(self, Connection connection, int interest)
    cdef _unregister(self, Connection connection)
    cdef _close(self, Connection connection)
