# cython: language_level=3, auto_pickle=False, autotestdict=False
# cython: embedsignature=True, embedsignature.format=python
"""Access lines, each made in one pass, and the tray in which they wait to be written.

Rules of this file
- It is told what a format consists of, what may stand in a line, and when to write where. It knows
  no settings, no logging, nobody's files.
- A value that is text of visible ASCII is copied; any other one is escaped by whom it is told.
- Between two looks at a tray nothing of Python's runs: its places are good as long as the GIL is
  held.
- `_pylines.py` is the reference. Change both or neither.
"""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.exc cimport PyErr_CheckSignals, PyErr_Occurred, PyErr_SetFromErrno
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_CheckExact, PyUnicode_DATA, PyUnicode_GET_LENGTH
from libc.errno cimport EINTR, errno
from libc.math cimport modf, rint
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy
from posix.unistd cimport write

from cyserve._runtime cimport Clock

from datetime import timedelta

from cyserve._runtime import CLOCK

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)

cdef extern from *:
    """
    /* What has been written before is there for whoever sees the value. */
    #define store_last(at, value) __atomic_store_n((at), (value), __ATOMIC_RELEASE)
    """
    void store_last(uint64_t *at, uint64_t value) noexcept nogil

__all__ = ("FormatLine", "Tray")

cdef enum:
    SMALL = 1024            # bytes of a line that needs no memory of its own
    HALF = 0xFFFFFFFF
    DAY = 86400
    PADDING = 8

cdef enum:  # what is done for a value
    FIELD, TIME, REQUEST, STATUS, SENT, SECONDS, MILLISECONDS, MICROSECONDS, DECIMAL, USER, CALL

cdef dict CODES = {
    "field": FIELD, "time": TIME, "request": REQUEST, "status": STATUS, "sent": SENT,
    "seconds": SECONDS, "milliseconds": MILLISECONDS, "microseconds": MICROSECONDS,
    "decimal": DECIMAL, "user": USER, "call": CALL,
}

cdef Clock _clock = CLOCK


# -- a line while it is made ---------------------------------------------------------------------

cdef int widen(Room *room, Py_ssize_t size) except -1:
    """Make room for `size` more bytes."""
    cdef Py_ssize_t capacity = 2 * room.capacity + size
    cdef char *data = <char *> malloc(capacity)
    if data == NULL:
        raise MemoryError()
    memcpy(data, room.data, room.size)
    free(room.more)
    room.data = room.more = data
    room.capacity = capacity
    return 0


cdef inline int add_bytes(Room *room, const char *data, Py_ssize_t size) except -1:
    if room.capacity - room.size < size:
        widen(room, size)
    memcpy(room.data + room.size, data, size)
    room.size += size
    return 0


cdef inline int add_text(Room *room, const char *text, Py_ssize_t size) except -1:
    """As add_bytes, for what has PADDING bytes behind it: a call of memcpy costs more."""
    cdef Py_ssize_t place = 0
    if room.capacity - room.size < size + PADDING:
        widen(room, size + PADDING)
    while place < size:
        memcpy(room.data + room.size + place, text + place, PADDING)
        place += PADDING
    room.size += size
    return 0


cdef inline int add_byte(Room *room, char byte) except -1:
    if room.capacity == room.size:
        widen(room, 1)
    room.data[room.size] = byte
    room.size += 1
    return 0


cdef inline int add_number(Room *room, unsigned long long number, int digits=1) except -1:
    """digits: how many there are at least."""
    cdef char text[24]
    cdef int at = 24
    while number or at > 24 - digits:
        at -= 1
        text[at] = <char> (c"0" + number % 10)
        number //= 10
    return add_bytes(room, text + at, 24 - at)


cdef inline bint put_clean(char *to, const char *at, Py_ssize_t size) noexcept nogil:
    """Copy ASCII; whether all of it may stand in a line: no control, no quote."""
    cdef uint64_t bad = 0, eight = 0
    cdef Py_ssize_t place = 0
    cdef unsigned char byte
    if size < 8:
        for place in range(size):
            byte = at[place]
            bad |= (byte < 0x20) | (byte == 0x22) | (byte == 0x7F)
            to[place] = byte
        return not bad
    while True:
        memcpy(&eight, at + place, 8)
        memcpy(to + place, &eight, 8)
        bad |= (                                        # of each byte the highest bit
            ~(eight + 0x6060606060606060ULL)            # below 0x20
            | ~((eight ^ 0x2222222222222222ULL) + 0x7F7F7F7F7F7F7F7FULL)
            | (eight + 0x0101010101010101ULL)           # 0x7f
        )
        if place == size - 8:
            return not bad & 0x8080808080808080ULL
        place = min(place + 8, size - 8)


cdef inline object wanted(environ, str key):
    return (<dict> environ)[key] if type(environ) is dict else environ[key]


cdef inline bint has_user(environ) except -1:
    if type(environ) is not dict:
        return "HTTP_AUTHORIZATION" in environ
    if PyDict_GetItemWithError(environ, "HTTP_AUTHORIZATION") != NULL:
        return True
    return -1 if PyErr_Occurred() else False


cdef class FormatLine:
    """Makes the access line of one format; see the twin."""

    def __cinit__(self, texts, steps, escape, time_text):
        cdef bytes text
        if len(texts) != len(steps) + 1:
            raise ValueError("there is one text more than there are steps")
        self.escape = escape
        self.time_text = time_text
        self.second = -1
        self.stamp = b""
        self.first = texts[0].encode() + bytes(PADDING)
        self.kept = []
        self.steps = <Step *> calloc(len(steps) + 1, sizeof(Step))
        if self.steps == NULL:
            raise MemoryError()
        for (name, need), following in zip(steps, texts[1:]):
            if name not in CODES:
                raise ValueError(f"{name!r} is no step")
            text = following.encode() + bytes(PADDING)
            self.kept += [need, text]
            self.steps[self.count].code = CODES[name]
            self.steps[self.count].need = <PyObject *> need
            self.steps[self.count].text = PyBytes_AS_STRING(text)
            self.steps[self.count].size = PyBytes_GET_SIZE(text) - PADDING
            self.count += 1

    def __dealloc__(self):
        free(self.steps)

    def __call__(self, resp, req, environ, request_time) -> str:
        return self.make(resp, req, environ, request_time).decode()

    cpdef bytes make(self, resp, req, environ, request_time):
        """The line of one request.

        request_time: a timedelta, or seconds. Raises whatever a value raises that cannot be had.
        """
        cdef char small[SMALL]
        cdef Room room
        room.data, room.size, room.capacity, room.more = small, 0, SMALL, NULL
        try:
            self.fill(&room, resp, req, environ, request_time, 0.0, None, -1)
            return PyBytes_FromStringAndSize(room.data, room.size)
        finally:
            free(room.more)

    cdef int fill(
        self, Room *room, resp, req, environ, took, double started, status, Py_ssize_t sent
    ) except -1:
        """Make the line.

        took: None: since `started`. status: None: the response's, and so is `sent` below zero.
        """
        cdef Step *step = self.steps
        cdef Step *end = step + self.count
        add_text(room, PyBytes_AS_STRING(self.first), PyBytes_GET_SIZE(self.first) - PADDING)
        while step < end:
            if step.code == FIELD:
                self.add_field(room, environ, <object> step.need)
            elif step.code == TIME:
                self.add_time(room)
            elif step.code == REQUEST:
                self.add_request(room, environ)
            elif step.code == STATUS:
                self.add_status(room, resp.status if status is None else status)
            elif step.code == SENT:
                if sent >= 0:
                    add_number(room, sent)
                else:
                    value = resp.sent
                    self.add_value(room, "-" if value is None else value)
            elif step.code == USER and not has_user(environ):
                add_byte(room, c"-")
            elif step.code >= USER:
                self.add_value(room, (<object> step.need)(resp, req, environ))
            else:
                add_duration(room, step.code, took, started)
            add_text(room, step.text, step.size)
            step += 1
        return 0

    cdef int add_value(self, Room *room, value) except -1:
        cdef Py_ssize_t size
        cdef bytes data
        if PyUnicode_CheckExact(value) and PyUnicode_IS_COMPACT_ASCII(value):
            size = PyUnicode_GET_LENGTH(value)
            if room.capacity - room.size < size:
                widen(room, size)
            if put_clean(room.data + room.size, <const char *> PyUnicode_DATA(value), size):
                room.size += size
                return 0
        text = str(value)
        if text is not value and PyUnicode_CheckExact(text):    # a number, most likely
            return self.add_value(room, text)
        data = self.escape(text).encode()
        return add_bytes(room, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

    cdef int add_field(self, Room *room, environ, key) except -1:
        cdef PyObject *found
        if type(environ) is not dict:
            return self.add_value(room, environ.get(key, "-"))
        found = PyDict_GetItemWithError(environ, key)
        if found == NULL:
            return -1 if PyErr_Occurred() else add_byte(room, c"-")
        return self.add_value(room, <object> found)

    cdef int add_request(self, Room *room, environ) except -1:
        method = wanted(environ, "REQUEST_METHOD")
        if type(method) is not str:
            method = str(method)
        # "-" alone for a request that was refused before its line could be read.
        if method == "-":
            return add_byte(room, c"-")
        self.add_value(room, method)
        add_byte(room, c" ")
        self.add_value(room, wanted(environ, "RAW_URI"))
        add_byte(room, c" ")
        return self.add_value(room, wanted(environ, "SERVER_PROTOCOL"))

    cdef int add_status(self, Room *room, status) except -1:
        cdef const char *text
        if PyUnicode_CheckExact(status) and PyUnicode_IS_COMPACT_ASCII(status):
            text = <const char *> PyUnicode_DATA(status)    # with a NUL behind it
            if (
                c"0" <= text[0] <= c"9" and c"0" <= text[1] <= c"9" and c"0" <= text[2] <= c"9"
                and text[3] == c" "
            ):
                return add_bytes(room, text, 3)
        if isinstance(status, str):
            status = status.split(None, 1)[0]
        return self.add_value(room, status)

    cdef int add_time(self, Room *room) except -1:
        cdef long long second = _clock.second()
        cdef bytes text
        if second != self.second:
            text = self.escape(self.time_text(second)).encode() + bytes(PADDING)
            self.stamp = text       # the two together, as threads see it
            self.second = second
        text = self.stamp
        return add_text(room, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text) - PADDING)


cdef int add_duration(Room *room, int code, took, double started) except -1:
    """How long the request took, as timedelta has it; days are left out."""
    cdef double whole = 0.0, seconds
    cdef long long second, micros
    if took is not None and type(took) is not float:
        if not isinstance(took, timedelta):
            took = timedelta(seconds=took)
        second, micros = took.seconds, took.microseconds
    else:
        seconds = _clock.monotonic() - started if took is None else took
        if not -1e9 < seconds < 1e9:
            took = timedelta(seconds=seconds)
            second, micros = took.seconds, took.microseconds
        else:
            micros = <long long> rint(modf(seconds, &whole) * 1e6)
            micros += <long long> whole * 1000000
            second = micros // 1000000 % DAY
            micros %= 1000000
    if code == SECONDS:
        return add_number(room, second)
    if code == MILLISECONDS:
        return add_number(room, second * 1000 + micros // 1000)
    if code == MICROSECONDS:
        return add_number(room, second * 1000000 + micros)
    add_number(room, second)
    add_byte(room, c".")
    return add_number(room, micros, 6)


# -- the tray ------------------------------------------------------------------------------------

cdef struct Span:
    const char *data
    Py_ssize_t size


cdef Span places(Tray tray) noexcept:
    cdef uint64_t state = tray.state[0]
    cdef Span span
    span.data = tray.lines + (state >> 32)
    span.size = <Py_ssize_t> (state & HALF) - <Py_ssize_t> (state >> 32)
    return span


cdef class Tray:
    """Lines of a worker that wait to be written together, in memory that processes share.

    memory: a writable buffer of zeros, 4 GB at most. Where the lines in it begin and end is one
    number, changed in one store: whoever takes over what a killed process has left finds no half
    line, and none twice but those of a `write` that has just returned.

    line: makes the lines that `note` adds; None: it adds none. count: lines added so far.
    Only one at a time may empty it, while others add.
    """

    def __cinit__(self, memory):
        PyObject_GetBuffer(memory, &self.view, PyBUF_WRITABLE)
        self.room = self.view.len - sizeof(uint64_t)
        if not 0 < self.room < HALF or <size_t> self.view.buf % sizeof(uint64_t):
            raise ValueError("the memory is too small, or too large")
        self.state = <uint64_t *> self.view.buf
        self.lines = <char *> self.view.buf + sizeof(uint64_t)

    def __dealloc__(self):
        PyBuffer_Release(&self.view)

    @property
    def size(self) -> int:
        """Bytes of lines in it."""
        return places(self).size

    cpdef bint note(
        self, resp, req, environ, status, Py_ssize_t sent, double started
    ) except -1:
        """Make a line and add it, if others wait already; False if that is not so, or fails.

        status, sent: the response's. started: when the request began, by `CLOCK.monotonic()`.
        """
        cdef char small[SMALL]
        cdef Room room
        cdef FormatLine line = self.line
        cdef uint64_t state = self.state[0]
        if line is None or state >> 32 == state & HALF:
            return False
        room.data, room.size, room.capacity, room.more = small, 0, SMALL, NULL
        try:
            line.fill(&room, resp, req, environ, None, started, status, sent)
            return self.put(room.data, room.size)
        except Exception:   # whoever asks for the line otherwise will be told
            return False
        finally:
            free(room.more)

    cdef bint put(self, const char *line, Py_ssize_t size) noexcept:
        cdef uint64_t state = self.state[0]
        cdef uint64_t start = state >> 32, end = state & HALF
        if start == end:
            start = end = 0
        if <uint64_t> size > <uint64_t> self.room - end:
            return False
        memcpy(self.lines + end, line, size)
        store_last(self.state, start << 32 | end + <uint64_t> size)
        self.count += 1
        return True

    cpdef bint add(self, bytes line) except -1:
        """Add a line; False if there is no room for it."""
        if line is None:
            raise TypeError("a line is bytes")
        return self.put(PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))

    cpdef empty(self, int fd):
        """Write the lines that are in it now. Raises OSError; then the rest is still there."""
        cdef Span span = places(self)
        cdef ssize_t written
        while span.size:
            with nogil:
                written = write(fd, span.data, span.size)
            if written < 0:
                if errno != EINTR:
                    PyErr_SetFromErrno(OSError)
                PyErr_CheckSignals()
                continue
            store_last(self.state, self.state[0] + (<uint64_t> written << 32))
            span.data += written
            span.size -= written

    def drop(self) -> int:
        """Forget the lines in it; returns how many there were."""
        cdef bytes lines = self.left()
        store_last(self.state, self.state[0] + (<uint64_t> PyBytes_GET_SIZE(lines) << 32))
        return lines.count(b"\n")

    def left(self) -> bytes:
        """The lines in it."""
        cdef Span span = places(self)
        return PyBytes_FromStringAndSize(span.data, span.size)
