# cython: language_level=3, auto_pickle=False, autotestdict=False
# cython: embedsignature=True, embedsignature.format=python
"""Bytes in and out of a connection: input buffer, response head, chunk framing, output buffer.

Rules of this file
- It moves bytes between memory and file descriptors; it knows no settings, no logging, no threads.
- Non-blocking system calls keep the GIL: they cannot block, and giving it up costs a hand-over.
- Every pointer walks between a start and an end; compare before you read.
- `_pyio.py` is the reference. Change both or neither.
"""

from libc.errno cimport EAGAIN, EINTR, EWOULDBLOCK, errno
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memcpy, memmove

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_SetFromErrno

cdef extern from "<sys/socket.h>" nogil:
    ssize_t recv(int fd, void *buffer, size_t size, int flags)
    enum: MSG_DONTWAIT

__all__ = ("InputBuffer",)


cdef class InputBuffer:
    """Bytes received on a connection and not yet consumed.

    data: bytes to begin with.
    """

    def __cinit__(self, data: bytes = b""):
        self.data = NULL
        self.start = self.end = self.capacity = self.scanned = 0

    def __init__(self, data: bytes = b""):
        if data:
            self.feed(data)

    def __dealloc__(self):
        free(self.data)

    def __len__(self) -> int:
        return self.end - self.start

    cdef int reserve(self, Py_ssize_t room) except -1:
        """Make room for that many more bytes behind `end`."""
        cdef Py_ssize_t used = self.end - self.start
        cdef Py_ssize_t wanted
        cdef char *grown
        if self.capacity - self.end >= room:
            return 0
        if self.capacity - used >= room and self.start >= used:
            memmove(self.data, self.data + self.start, used)
        else:
            wanted = max(used + room, 2 * used)
            grown = <char *> malloc(wanted)
            if grown == NULL:
                raise MemoryError()
            if used:
                memcpy(grown, self.data + self.start, used)
            free(self.data)
            self.data = grown
            self.capacity = wanted
        self.start = 0
        self.end = used
        return 0

    cdef void consume(self, Py_ssize_t size) noexcept:
        self.start += size
        self.scanned = 0
        if self.start == self.end:
            self.start = self.end = 0

    def feed(self, data: bytes) -> None:
        """Append bytes that came by another way than a plain socket."""
        cdef const unsigned char[::1] view = data
        cdef Py_ssize_t size = view.shape[0]
        if size:
            self.reserve(size)
            memcpy(self.data + self.end, &view[0], size)
            self.end += size

    def fill(self, int fd, Py_ssize_t size = 8192) -> int:
        """Receive once, without blocking, up to `size` bytes from the socket `fd`.

        Returns the number of bytes received, 0 at the end of the stream, -1 if there is
        nothing to receive now. Raises OSError as recv(2) does.
        """
        cdef ssize_t got
        self.reserve(size)
        while True:
            got = recv(fd, self.data + self.end, size, MSG_DONTWAIT)
            if got >= 0:
                self.end += got
                return got
            if errno == EAGAIN or errno == EWOULDBLOCK:
                return -1
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)

    def peek(self, Py_ssize_t size) -> bytes:
        """The first `size` bytes, or fewer, without consuming them."""
        return PyBytes_FromStringAndSize(
            self.data + self.start, max(0, min(size, self.end - self.start)))

    def take(self, Py_ssize_t size) -> bytes:
        """Consume and return up to `size` bytes."""
        size = max(0, min(size, self.end - self.start))
        cdef bytes taken = PyBytes_FromStringAndSize(self.data + self.start, size)
        self.consume(size)
        return taken

    def take_line(self, Py_ssize_t size) -> bytes:
        """Consume and return up to `size` bytes, but not beyond the first LF."""
        size = max(0, min(size, self.end - self.start))
        cdef char *first = self.data + self.start
        cdef char *newline = <char *> memchr(first, c"\n", size) if size else NULL
        return self.take(newline - first + 1 if newline != NULL else size)

    def skip(self, Py_ssize_t size) -> int:
        """Consume up to `size` bytes unseen and return how many they were."""
        size = max(0, min(size, self.end - self.start))
        self.consume(size)
        return size

    def release(self) -> None:
        """Give the memory back if nothing is kept in it, as on an idle connection."""
        if self.start == self.end:
            free(self.data)
            self.data = NULL
            self.start = self.end = self.capacity = 0
