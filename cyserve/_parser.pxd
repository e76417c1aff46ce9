"""What other compiled modules may call and see of `_parser`."""

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t

from cyserve._io cimport InputBuffer
from cyserve._runtime cimport Lane

cdef enum:
    SPANS = 48   # a head with more fields than that is not plainly good


cdef struct Field:  # a field name for which everything is ready
    const unsigned char *name    # lower case
    const unsigned char *mask    # 0xdf where a byte is a letter, so that its case is not compared
    Py_ssize_t size              # 0: an empty slot
    PyObject *upper
    PyObject *key
    int flags
    int role


cdef struct Span:  # a field of a head; places are offsets from the request line
    const Field *field
    uint32_t name, name_size, value, value_size
    bint high    # there are bytes above 0x7f


cdef struct Fields:
    Span spans[SPANS]
    int count
    int flags
    int seen              # bits 1 << role
    int length            # which one is Content-Length
    bint close, keep, options


cdef class RequestHead


cdef class HeadRules:
    cdef readonly Py_ssize_t limit_request_line, limit_request_fields, limit_request_field_size
    cdef readonly bint permit_obsolete_folding, strip_header_spaces, casefold_http_method
    cdef readonly bint permit_unconventional_http_method, permit_unconventional_http_version
    cdef readonly tuple scheme_headers
    cdef readonly dict known_fields
    cdef Py_ssize_t section_limit
    cdef Field *table
    cdef size_t slots   # of the table, less one
    cdef list kept      # what the table points to

    cdef int build_table(self, dict names) except -1
    cpdef RequestHead parse(self, InputBuffer buffer)


cdef class RequestHead:
    cdef public str method, target, path, query, fragment
    cdef public tuple version
    cdef public long long content_length
    cdef public bint chunked, keep_alive
    cdef public int flags
    cdef public Py_ssize_t size
    cdef list fields_list    # None: to be made from the spans
    cdef bytes raw           # from the request line on
    cdef Py_ssize_t line_size
    cdef HeadRules rules     # owner of the names that the spans point to
    cdef Fields *fields

    cdef str value_of(self, const Span *span)
    cdef str name_of(self, const Span *span)
    cdef list build_headers(self)
    cdef int take_line(self, const char *start, const Py_ssize_t *places) except -1
    cdef bint take_framing(self) except -1
    cpdef dict fill_environ(self, dict template, bint ready = *)
    cpdef bint plain(self) except -1
    cpdef bytes request_line(self)
    cpdef int enter(self, Lane lane) except -1
