"""C types of response.py."""

cimport cython

from cyserve._io cimport ResponseHead
from cyserve._runtime cimport Clock, Pool
from cyserve.http.postponed cimport Postponed
from cyserve.http.request cimport RequestCore
from cyserve.http.server_fields cimport ServerFields
from cyserve.http.transport cimport PlainTransport

cdef Py_ssize_t _SMALL_BODY
cdef double _MOMENT
cdef Clock _clock
cdef ServerFields _server_fields


cdef class ResponseCore:
    cdef public object sock, cfg, status, head, response_length
    cdef public RequestCore req
    cdef public PlainTransport transport
    cdef ResponseHead direct
    cdef public double send_timeout
    cdef public bint framed, chunked, bodyless, must_close, closes, headers_sent, finished, patched
    cdef public object early, server, starter, hinter
    cdef public Py_ssize_t sent

    cdef begin(self, RequestCore req, object sock)

    @cython.locals(direct=ResponseHead)
    cdef bint reset(self, Pool pool) except -1

    cpdef frame(self)
    cpdef should_close(self)

    @cython.locals(piece=bytes, size=Py_ssize_t, left="long long")
    cpdef queue(self, object data)

    @cython.locals(transport=PlainTransport, postponed=Postponed, last=double)
    cpdef write_iterable(self, object items)
    cdef bint _lend(self, Postponed postponed, double last) except -1
    cpdef close(self)
    cpdef bytes head_bytes(self, bytes body = *)
    cpdef send_headers(self)

    @cython.locals(size=Py_ssize_t, answer=bytes, body=bytes, fields=bytes)
    cdef bint write_usual(self, object data) except -1
