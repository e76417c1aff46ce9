"""C types of cycle.py."""

cimport cython

from cyserve._lines cimport Tray
from cyserve._runtime cimport Clock, Pool
from cyserve.http.connection cimport Connection
from cyserve.http.context cimport Context
from cyserve.http.environ cimport Endpoint
from cyserve.http.request cimport RequestCore
from cyserve.http.response cimport ResponseCore
from cyserve.scoreboard cimport Serving, Slot

cdef Clock _clock


cdef class Cycle:
    cdef public Serving worker
    cdef public Slot slot
    cdef public object cfg, log, application, response
    cdef Pool pool
    cdef Tray tray
    cdef public object pre_request, post_request, access, direct, watch
    cdef public bint keep_alive, patched
    cdef public Py_ssize_t max_requests
    cdef public double send_timeout

    @cython.locals(
        connection=Connection, resp=ResponseCore, environ=dict, started=double, logged=bint,
        endpoint=Endpoint, worker=Serving, slot=Slot)
    cpdef run(self, RequestCore req)
    cpdef serve(self, RequestCore req)

    @cython.locals(resp=ResponseCore)
    cdef ResponseCore _take_response(self, RequestCore req, object sock)

    @cython.locals(connection=Connection, context=Context)
    cdef _put_away(self, Pool pool, RequestCore req, ResponseCore resp)

    @cython.locals(tray=Tray, seconds=double)
    cdef _log_access(self, ResponseCore resp, RequestCore req, environ, double started)
    cpdef _respond(self, ResponseCore resp, dict environ)
