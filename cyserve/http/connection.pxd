"""C types of connection.py."""

cimport cython

from cyserve._parser cimport HeadRules
from cyserve._runtime cimport Pool
from cyserve.http.body cimport BodyCore
from cyserve.http.context cimport Context
from cyserve.http.request cimport Origin, RequestCore
from cyserve.http.transport cimport PlainTransport

cdef int _READ, _RUN
cdef double _NEVER
cdef int _HEAD, _BODY, _SENDING, _LINGERING, _PROXY, _HANDSHAKE


cdef class Connection(Origin):
    cdef public Context context
    cdef public RequestCore request
    cdef public int state, fd, step, interest, place
    cdef public double deadline, idle_since, linger_until
    cdef public object proxy_header
    cdef public bint compiled, unread, over, lent, signalled
    cdef object _trusted
    cdef object __weakref__

    cdef begin(self, object address, object endpoint)

    @cython.locals(transport=PlainTransport)
    cdef bint leave(self, Pool pool) except -1
    cpdef int start(self, double now) except -1

    @cython.locals(state=int, got=Py_ssize_t)
    cpdef int proceed(self, double now) except -1
    cpdef int answered(self, double now) except -1
    cpdef close(self)

    @cython.locals(state=int, step=int, waiting=Py_ssize_t)
    cpdef int expire(self, double now) except -1

    @cython.locals(req=RequestCore, core=BodyCore)
    cpdef finish_request(self)
    cpdef int refuse(self, object exc, double now) except -1

    @cython.locals(req=RequestCore, direct=HeadRules)
    cdef int _advance(self, double now) except -1

    @cython.locals(transport=PlainTransport, context=Context, version=int)
    cdef int _read_proxy_header(self, double now) except -1

    @cython.locals(step=int)
    cdef int _shake_hands(self, double now) except -1
    cdef int _refuse_plainly(self, object exc, double now) except -1

    @cython.locals(context=Context, limit="long long")
    cdef _start_body(self, RequestCore req)
    cdef int _run(self) except -1

    @cython.locals(body=BodyCore)
    cdef int _gather(self, RequestCore req, double now) except -1

    @cython.locals(pending=Py_ssize_t)
    cdef int _send(self, double now) except -1

    @cython.locals(transport=PlainTransport)
    cdef int _sent(self, double now) except -1

    @cython.locals(transport=PlainTransport)
    cpdef bint _must_linger(self) except -1
    cdef int _start_linger(self, double now) except -1

    @cython.locals(got=Py_ssize_t)
    cdef int _linger(self, double now) except -1
