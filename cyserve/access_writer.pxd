"""C types of access_writer.py."""

cimport cython

cdef int _GET, _TIME, _REQUEST, _STATUS, _SENT, _USER
cdef bytes _UNSAFE
cdef object _INFO, _Logger


cdef class FormatLine:
    cdef readonly list pieces, needs
    cdef readonly bytes codes
    cdef readonly object escape, time_text
    cdef public tuple stamp, status
    cdef readonly Py_ssize_t unsafe

    @cython.locals(
        fields=dict, parts=list, number=Py_ssize_t, code="unsigned char", text=str, data=bytes)
    cpdef bytes make(self, resp, req, environ, request_time)

    @cython.locals(now=double, second=double, stamp=tuple)
    cdef _time(self)

    @cython.locals(known=tuple)
    cdef _status(self, status)


cdef class DirectAccessLog:
    cdef public object logger, report, handler, stream, formatter, call_handlers, is_enabled_for
    cdef public object line, tray, busy
    cdef public Py_ssize_t size, count
    cdef public FormatLine made
    cdef public list handlers
    cdef public bint armed, to_file, guarded
    cdef public int fd
    cdef public Py_ssize_t lost
    cdef public double report_after

    @cython.locals(made=FormatLine, data=bytes)
    cpdef bint write(self, resp, req, environ, request_time) except -1
    cdef bint _untouched(self) except -1
    cdef bint _is_enabled(self) except -1
    cdef _keep(self, bytes data)
    cdef _empty(self, tray)
    cdef _put(self, bytes data)
