"""C types of access_writer.py."""

cimport cython

from cyserve._lines cimport FormatLine, Tray
from cyserve._runtime cimport Clock, Mutex

cdef object _INFO, _Logger
cdef Clock _clock
cdef Py_ssize_t _SOME
cdef double _QUICKLY


cdef class DirectAccessLog:
    cdef public object logger, report, handler, stream, formatter, call_handlers, is_enabled_for
    cdef public object line, on_many
    cdef public Tray tray
    cdef public Mutex busy
    cdef public FormatLine made
    cdef public list handlers
    cdef public bint armed, to_file, guarded
    cdef public int fd
    cdef public Py_ssize_t count, lost
    cdef public double report_after, counted_at

    @cython.locals(made=FormatLine, tray=Tray, data=bytes)
    cpdef bint write(self, resp, req, environ, request_time) except -1
    cdef _look(self, double now)
    cdef bint _untouched(self) except -1
    cdef bint _is_enabled(self) except -1
    cdef bint _keep(self, Tray tray, bytes data) except -1
    cdef _empty(self, Tray tray)
    cdef _put(self, bytes data)
