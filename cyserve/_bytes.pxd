"""Leaf helpers of the compiled kernel: questions about raw bytes, and text made from them.

Inline functions only; nothing here keeps state. Every pointer walks between a start and an end.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

cdef extern from "Python.h":
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void *PyUnicode_DATA(str text)
    int _PyBytes_Resize(PyObject **bytes, Py_ssize_t size) except -1
    str PyUnicode_DecodeLatin1(const char *data, Py_ssize_t size, const char *errors)


cdef inline bint is_blank(char byte) noexcept nogil:
    return byte == c" " or byte == c"\t"


cdef inline Py_ssize_t leading_crlf(const char *data, Py_ssize_t size) noexcept nogil:
    return 2 if size >= 2 and data[0] == c"\r" and data[1] == c"\n" else 0


cdef inline bint is_word(const char *start, Py_ssize_t size, const char *word) noexcept nogil:
    """Whether these bytes of a field value are `word`: lower-case letters and "-"."""
    cdef Py_ssize_t at = 0
    while at < size and word[at] and start[at] | 0x20 == word[at]:
        at += 1
    return at == size and not word[at]


cdef inline bint same_but_case(
    const unsigned char *name, const unsigned char *lower, const unsigned char *mask,
    Py_ssize_t size
) noexcept nogil:
    """Whether `name` is `lower` in whatever case. mask: 0xdf where that has a letter, else 0xff."""
    cdef uint64_t given = 0, wanted = 0, relevant = 0
    cdef Py_ssize_t at = 0
    if size < 8:
        while at < size and not (name[at] ^ lower[at]) & mask[at]:
            at += 1
        return at == size
    while True:
        memcpy(&given, name + at, 8)
        memcpy(&wanted, lower + at, 8)
        memcpy(&relevant, mask + at, 8)
        if (given ^ wanted) & relevant:
            return False
        if at == size - 8:
            return True
        at = min(at + 8, size - 8)


cdef inline const char *value_end(
    const char *at, const char *end, bint *high
) noexcept nogil:
    """The first byte that a field value cannot hold, or `end`. high: some are above 0x7f."""
    cdef uint64_t eight = 0, seen = 0
    while end - at >= 8:  # eight bytes at once unless one is below 0x20 or is 0x7f
        memcpy(&eight, at, 8)
        if (
            ((eight - 0x2020202020202020ULL) & ~eight)
            | (((eight ^ 0x7F7F7F7F7F7F7F7FULL) - 0x0101010101010101ULL) & ~eight)
        ) & 0x8080808080808080ULL:
            break
        seen |= eight
        at += 8
    while at < end and (<unsigned char> at[0] >= 0x20 and at[0] != 0x7F or at[0] == c"\t"):
        seen |= <unsigned char> at[0]
        at += 1
    high[0] = seen & 0x8080808080808080ULL != 0
    return at


cdef inline long long decimal(const char *start, Py_ssize_t size) noexcept nogil:
    """The number that these digits are, or -1: they are none, or not digits, or too many."""
    cdef long long number = 0
    cdef Py_ssize_t at
    if not 0 < size < 19:
        return -1
    for at in range(size):
        if start[at] < c"0" or start[at] > c"9":
            return -1
        number = 10 * number + start[at] - c"0"
    return number


cdef inline int hex_value(char digit) noexcept nogil:
    """What a hexadecimal digit is worth, -1 for any other byte."""
    if c"0" <= digit <= c"9":
        return digit - c"0"
    if c"a" <= digit | 0x20 <= c"f":
        return (digit | 0x20) - c"a" + 10
    return -1


cdef inline str latin1(const char *start, Py_ssize_t size, bint high=True):
    """Latin-1 text. high: there may be bytes above 0x7f."""
    if high:
        return PyUnicode_DecodeLatin1(start, size, NULL)
    cdef str text = PyUnicode_New(size, 0x7F)
    memcpy(PyUnicode_DATA(text), start, size)
    return text


cdef inline str unquote(str path):
    """Percent-decode, to Latin-1 text; "%" without two hex digits stays (PEP 3333)."""
    cdef bytes raw = path.encode("latin-1")
    cdef bytes decoded = PyBytes_FromStringAndSize(NULL, len(raw))
    cdef const char *at = PyBytes_AS_STRING(raw)
    cdef const char *end = at + len(raw)
    cdef char *out = PyBytes_AS_STRING(decoded)
    while at < end:
        out[0] = at[0]
        if at[0] == c"%" and end - at > 2 and hex_value(at[1]) >= 0 and hex_value(at[2]) >= 0:
            out[0] = <char> (16 * hex_value(at[1]) + hex_value(at[2]))
            at += 2
        at += 1
        out += 1
    return latin1(PyBytes_AS_STRING(decoded), out - PyBytes_AS_STRING(decoded))


cdef inline bint has_forbidden(const unsigned char *text, Py_ssize_t size,
                               const unsigned char *table) noexcept nogil:
    cdef unsigned char bad = 0
    cdef Py_ssize_t place
    for place in range(size):
        bad |= table[text[place]]
    return bad != 0


cdef inline char *put(char *to, const void *data, Py_ssize_t size) noexcept nogil:
    memcpy(to, data, size)
    return to + size


cdef inline bytes unchangeable(data):
    return <bytes> data if type(data) is bytes else bytes(memoryview(data))


cdef inline int need_bytes(given) except -1:
    if not isinstance(given, bytes):
        raise TypeError(f"bytes expected, not {type(given).__name__}")
    return 0


cdef inline bytes shortened(PyObject *whole, Py_ssize_t size):
    """The first `size` bytes of a bytes object, which is used up: nobody else may refer to it."""
    if PyBytes_GET_SIZE(<bytes> whole) != size:
        _PyBytes_Resize(&whole, size)
    made = <bytes> whole
    Py_DECREF(made)
    return made
