"""C types of cycle.py."""

from cyserve.http.request cimport RequestCore
from cyserve.http.response cimport ResponseCore

cdef class Cycle:
    cdef public object worker, cfg, log, slot, application, pre_request, post_request, access
    cdef public bint keep_alive
    cdef public double send_timeout
