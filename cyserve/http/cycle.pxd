"""C types of cycle.py."""

cimport cython

from cyserve.http.connection cimport Connection
from cyserve.http.environ cimport Endpoint
from cyserve.http.request cimport RequestCore
from cyserve.http.response cimport ResponseCore

cdef class Cycle:
    cdef public object worker, cfg, log, begin, end, application, count, response
    cdef public object pre_request, post_request, access, direct, watch
    cdef public bint keep_alive, patched
    cdef public Py_ssize_t max_requests
    cdef public double send_timeout

    @cython.locals(
        connection=Connection, resp=ResponseCore, environ=dict, started=double, alive=bint,
        logged=bint, endpoint=Endpoint, number=Py_ssize_t)
    cpdef run(self, RequestCore req)
    cpdef serve(self, RequestCore req)
    cdef _log_access(self, ResponseCore resp, RequestCore req, environ, double seconds)
    cpdef _respond(self, ResponseCore resp, dict environ)
