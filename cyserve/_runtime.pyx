# cython: language_level=3, auto_pickle=False, autotestdict=False
# cython: embedsignature=True, embedsignature.format=python
"""What the engine asks for at every request and Python's own would take too long to give.

Rules of this file
- It knows the interpreter and the machine: no bytes of HTTP, no state of connections, no settings.
- It stands for something of the standard library and is nothing but quicker; but for the lane.
- `_pyruntime.py` is the reference. Change both or neither.
"""

cimport cython
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport ECONNRESET, EINTR, errno
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from cyserve._clock cimport clock_nanoseconds, clock_now, clock_second
from cyserve._peer cimport AF_INET, dotted, ntohs, peer, peer_address
from cyserve._sockets cimport close_socket, take_client

cdef extern from "pythread.h":
    ctypedef void *PyThread_type_lock
    ctypedef long long PY_TIMEOUT_T
    ctypedef int PyLockStatus
    PyLockStatus PY_LOCK_ACQUIRED, PY_LOCK_INTR
    PyThread_type_lock PyThread_allocate_lock()
    void PyThread_free_lock(PyThread_type_lock lock)
    int PyThread_acquire_lock(PyThread_type_lock lock, int wait) nogil
    PyLockStatus PyThread_acquire_lock_timed(
        PyThread_type_lock lock, PY_TIMEOUT_T microseconds, int interruptible) nogil
    void PyThread_release_lock(PyThread_type_lock lock) nogil

cdef extern from *:
    """
    static int is_watched(PyObject *thing) {   /* by weak references */
        Py_ssize_t at = Py_TYPE(thing)->tp_weaklistoffset;
        return at && *(PyObject **) ((char *) thing + at) != NULL;
    }
    """
    Py_ssize_t Py_REFCNT(PyObject *thing)
    bint is_watched(PyObject *thing)

__all__ = ("CLOCK", "GATE", "Clock", "Gate", "Lane", "Mutex", "Number", "Pool", "Row")


@cython.final
cdef class Clock:
    """Tells the time.

    ahead: seconds by which this one is ahead of the others; nothing but tests sets it.
    """

    cpdef double monotonic(self) noexcept:
        """As time.monotonic()."""
        return clock_now() + self.ahead

    cpdef long long second(self) noexcept:
        """As int(time.time())."""
        return clock_second(NULL) + <long long> self.ahead


CLOCK = Clock()   # the engine's


@cython.final
cdef class Mutex:
    """As threading.Lock(), a good deal quicker to get while nobody has it."""

    def __cinit__(self):
        self.held = False
        self.lock = PyThread_allocate_lock()
        if self.lock == NULL:
            raise MemoryError()

    def __dealloc__(self):
        if self.lock != NULL:
            if self.held:
                PyThread_release_lock(self.lock)
            PyThread_free_lock(self.lock)

    cpdef bint acquire(self, bint blocking=True, double timeout=-1.0) except -1:
        """Take it; False if that could not be done: at once, or within `timeout` seconds."""
        if not PyThread_acquire_lock(self.lock, 0):
            if not blocking or not self.wait(timeout):
                return False
        self.held = True
        return True

    cdef bint wait(self, double timeout) except -1:
        """Let the others run meanwhile; handlers of signals do, too."""
        cdef double end = clock_now() + timeout
        cdef PY_TIMEOUT_T left = -1
        cdef PyLockStatus status
        while True:
            if timeout >= 0:
                left = <PY_TIMEOUT_T> (max(0.0, end - clock_now()) * 1e6)
            with nogil:
                status = PyThread_acquire_lock_timed(self.lock, left, 1)
            if status != PY_LOCK_INTR:
                return status == PY_LOCK_ACQUIRED
            PyErr_CheckSignals()

    cpdef int release(self) except -1:
        """Let go of it. RuntimeError if nobody has it."""
        if not self.held:
            raise RuntimeError("release unlocked lock")
        self.held = False
        PyThread_release_lock(self.lock)
        return 0

    def locked(self) -> bool:
        """Whether somebody has it."""
        return self.held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *details: object) -> None:
        self.release()


@cython.final
cdef class Pool:
    """Things that nobody refers to any more, kept to be used again.

    most: how many are kept, 64 at most.
    """

    def __cinit__(self, Py_ssize_t most = 8):
        if not 0 < most <= ROOM:
            raise ValueError(f"most={most}: allowed are 1 to {ROOM}")
        self.count = 0
        self.most = most

    def __dealloc__(self):
        while self.count:
            self.take()

    cpdef object take(self):
        """One of them, just as it was given; None if there is none."""
        if not self.count:
            return None
        self.count -= 1
        thing = <object> self.kept[self.count]
        Py_DECREF(thing)
        return thing

    cpdef bint alone(self, object thing, Py_ssize_t references) except -1:
        """Whether there are no more than so many references to it, the caller's included.

        And no weak ones: they would not notice that it has become another.
        """
        return Py_REFCNT(<PyObject *> thing) <= references and not is_watched(<PyObject *> thing)

    cpdef bint give(self, object thing) except -1:
        """Keep it, if there is room."""
        if self.count == self.most:
            return False
        Py_INCREF(thing)
        self.kept[self.count] = <PyObject *> thing
        self.count += 1
        return True


@cython.final
cdef class Row:
    """As collections.deque(), for who stands in line; `count` are there."""

    def __cinit__(self):
        self.places = [None] * 16   # a ring; its length is a power of two
        self.first = self.count = 0

    def __len__(self) -> int:
        return self.count

    cpdef int push(self, object thing) except -1:
        """Put it behind the last one."""
        cdef Py_ssize_t room = len(self.places)
        if self.count == room:
            self.places = self.places[self.first:] + self.places[:self.first] + [None] * room
            self.first = 0
            room *= 2
        self.places[self.first + self.count & room - 1] = thing
        self.count += 1
        return 0

    cpdef object pop(self):
        """Take the first one. IndexError if there is none."""
        cdef Py_ssize_t place = self.first
        if not self.count:
            raise IndexError("pop from an empty row")
        thing = self.places[place]
        self.places[place] = None
        self.first = place + 1 & len(self.places) - 1
        self.count -= 1
        return thing

    def remove(self, thing) -> None:
        """Take it out wherever it stands, if it is there."""
        cdef Py_ssize_t left = self.count
        while left:
            left -= 1
            other = self.pop()
            if other is not thing:
                self.push(other)


@cython.final
cdef class Gate:
    """Lets clients in and out: as a listener's accept(), and os.close() for a socket.

    address: of whom `accept` has let in last, as getpeername tells it; None: it is not known.
    """

    cpdef int accept(self, int fd) except -2:
        """Take a connection from the listening non-blocking socket `fd`; -1 if nobody waits.

        Returns a descriptor in non-blocking mode. Raises OSError as accept(2) does.
        """
        cdef peer name
        cdef unsigned int size = 0
        cdef int taken = take_client(fd, &name, &size)
        if taken < 0 or name.any.sa_family != AF_INET or size < sizeof(name.four):
            self.address = None if taken < 0 else peer_address(&name, size)
            return taken
        if self.host is None or self.octets != name.four.sin_addr.s_addr:
            self.host = dotted(<const unsigned char *> &name.four.sin_addr)
            self.octets = name.four.sin_addr.s_addr
        self.address = (self.host, ntohs(name.four.sin_port))
        return taken

    cpdef int close(self, int fd) except -1:
        """Close the socket `fd`, which nobody else has. Raises OSError as close(2) does."""
        if close_socket(fd) < 0 and errno != ECONNRESET and errno != EINTR:
            PyErr_SetFromErrno(OSError)
        return 0


GATE = Gate()   # the engine's


@cython.final
cdef class Number:
    """A number that processes share: eight bytes of a writable buffer, from `at` on."""

    def __cinit__(self, memory, Py_ssize_t at):
        PyObject_GetBuffer(memory, &self.view, PyBUF_WRITABLE)
        if at < 0 or at % 8 or self.view.len - at < 8:
            raise ValueError("the number does not fit")
        self.word = <uint64_t *> (<char *> self.view.buf + at)

    def __dealloc__(self):
        PyBuffer_Release(&self.view)

    cpdef void store(self, uint64_t number) noexcept:
        """It is this one now."""
        self.word[0] = number


cdef class Lane:
    """A thread's part of the scoreboard: its request line, how many it began, when the last one.

    memory: a writable buffer that processes share. at: where the lane begins in it.
    """

    def __cinit__(self, memory, Py_ssize_t at):
        PyObject_GetBuffer(memory, &self.view, PyBUF_WRITABLE)
        if at < 0 or at % 8 or self.view.len - at < LANE_LINE + 16:
            raise ValueError("the lane does not fit")
        self.line = <char *> self.view.buf + at
        self.numbers = <uint64_t *> (self.line + LANE_LINE)

    def __dealloc__(self):
        PyBuffer_Release(&self.view)

    cpdef void begin(self, bytes line) except *:
        """A request begins now; `line` is kept as far as there is room."""
        self.note(PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))

    cdef void note(self, const char *line, Py_ssize_t size) noexcept:
        size = min(size, LANE_LINE)
        memcpy(self.line, line, size)
        memset(self.line + size, 0, LANE_LINE - size)
        self.numbers[0] += 1
        self.numbers[1] = clock_nanoseconds()   # last: it says that the rest is there

    cpdef void end(self) noexcept:
        """Nothing runs in the lane now."""
        self.numbers[1] = 0
