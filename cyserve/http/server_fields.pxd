"""C types of server_fields.py."""

from cyserve._runtime cimport Clock

cdef Clock _clock


cdef class ServerFields:
    cdef long long second
    cdef dict fields
    cdef bytes keep, close

    cdef bytes usual(self, bint closes)
    cpdef bytes get(self, str connection, bint chunked)
    cdef _begin(self)
