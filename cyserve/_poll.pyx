# cython: language_level=3, auto_pickle=False, autotestdict=False
# cython: embedsignature=True, embedsignature.format=python
"""Readiness of many descriptors by epoll(7), for one thread or for several that take turns.

Rules of this file
- It knows descriptors only: no connections, no HTTP, no settings, no locks.
- `take` keeps the GIL, since it cannot wait; whatever can wait gives the GIL up for all of it.
- `_pypoll.py` is the reference, and what is used where there is no epoll. Change both or neither.
"""

from libc.errno cimport EINTR, errno
from libc.stdint cimport uint32_t

from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.ref cimport Py_INCREF

from cyserve._clock cimport clock_now

cdef extern from *:
    """
    #include <sys/epoll.h>
    #include <poll.h>
    #include <time.h>
    #include <unistd.h>
    #ifndef EPOLLEXCLUSIVE
    #define EPOLLEXCLUSIVE (1u << 28)
    #endif

    static void count(int *number, int change) {
        __atomic_fetch_add(number, change, __ATOMIC_RELAXED);
    }

    static void nap_for(double seconds) {
        struct timespec rest;
        rest.tv_sec = (time_t) seconds;
        rest.tv_nsec = (long) ((seconds - (double) rest.tv_sec) * 1e9);
        nanosleep(&rest, NULL);
    }
    """
    ctypedef union epoll_data_t:
        int fd
    ctypedef struct epoll_event "struct epoll_event":
        uint32_t events
        epoll_data_t data
    ctypedef struct pollfd "struct pollfd":
        int fd
        short events
        short revents
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int op, int fd, epoll_event *event)
    int epoll_wait(int epfd, epoll_event *events, int maxevents, int timeout) nogil
    int poll(pollfd *fds, unsigned long nfds, int timeout) nogil
    int close(int fd)
    void count(int *number, int change) nogil
    void nap_for(double seconds) nogil
    int EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL, EPOLL_CLOEXEC
    uint32_t EPOLLIN, EPOLLEXCLUSIVE, EPOLLET, EPOLLRDHUP
    short POLLIN

__all__ = ("Poller",)

cdef enum:
    BATCH = 64          # events taken at once
    LOOK = 20           # milliseconds between looks while threads are active
    NEWS = 2            # what READ and WRITE are called is what epoll calls them

cdef double LONG_WAIT = 0.001   # seconds of waiting for the GIL that only a computing thread causes
cdef double LONG_NAP = 0.002    # seconds for threads that cope


cdef class Poller:
    """Which of the registered descriptors are ready.

    Interests are READ (1) and WRITE (4), level-triggered: a descriptor is reported as long as it
    is ready. NEWS (2) is READ told once, edge-triggered: whoever has been told reads until a read
    brings less than was asked for. What is the last, since the peer has ended its stream, is
    listed twice: such a read does not show the end. Without `edge` NEWS is the same as READ.

    Besides waiting itself it lets a second thread stand guard over the first, see `watch`; for
    that the threads keep three numbers here.
    """

    cdef int fd
    cdef public unsigned long progress  # counts what the threads get done
    cdef public int waiting             # connections taken from here and not yet looked at
    cdef public int active              # threads that are at work
    cdef public bint called             # whoever is on guard is wanted
    cdef readonly int coming            # threads that are back and wait for the GIL
    cdef readonly bint contended        # the last one waited long
    cdef readonly bint edge             # NEWS are told once

    def __cinit__(self):
        self.fd = epoll_create1(EPOLL_CLOEXEC)
        if self.fd < 0:
            PyErr_SetFromErrno(OSError)
        self.edge = True

    def __dealloc__(self):
        if self.fd >= 0:
            close(self.fd)

    cdef int control(self, int operation, int fd, uint32_t events) except -1:
        cdef epoll_event event
        event.events = EPOLLIN | EPOLLRDHUP | EPOLLET if events == NEWS else events
        event.data.fd = fd
        if epoll_ctl(self.fd, operation, fd, &event) < 0:
            PyErr_SetFromErrno(OSError)
        return 0

    cdef double come_back(self) noexcept nogil:
        """The GIL is wanted again; returns since when."""
        count(&self.coming, 1)
        return clock_now()

    cdef void come_in(self, double since) noexcept:
        """The GIL is there."""
        count(&self.coming, -1)
        self.contended = clock_now() - since > LONG_WAIT

    def register(self, int fd, int interest) -> None:
        """Watch a descriptor. Raises OSError as epoll_ctl(2) does."""
        self.control(EPOLL_CTL_ADD, fd, interest)

    def modify(self, int fd, int interest) -> None:
        """Watch it for something else. Raises OSError."""
        self.control(EPOLL_CTL_MOD, fd, interest)

    def unregister(self, int fd) -> None:
        """Watch it no more. Raises OSError."""
        self.control(EPOLL_CTL_DEL, fd, 0)

    def register_listener(self, int fd) -> None:
        """Watch a listener that other processes watch too: one connection wakes one of them."""
        self.control(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLEXCLUSIVE)

    def requeue_listener(self, int fd) -> None:
        """Go to the end of the line: the kernel wakes whoever has waited for the listener longest.

        Without this the same idle worker would get every connection.
        """
        self.control(EPOLL_CTL_DEL, fd, 0)
        self.control(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLEXCLUSIVE)

    def note(self, int waiting) -> None:
        """For the guard: something has got done, and so many connections are to be looked at."""
        self.progress += 1
        self.waiting = waiting

    def take(self) -> list[int]:
        """The descriptors that are ready now, some of them if they are many; the GIL is kept."""
        cdef epoll_event events[BATCH]
        cdef int number = epoll_wait(self.fd, events, BATCH, 0)
        if number < 0:
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)
            number = 0
        return descriptors(events, number)

    def wait(self, double seconds) -> list[int]:
        """Wait until some are ready, at most that long; early and empty after a signal."""
        cdef epoll_event events[BATCH]
        cdef int timeout = milliseconds(seconds)
        cdef int number, failed
        cdef double back
        with nogil:
            number = epoll_wait(self.fd, events, BATCH, timeout)
            failed = errno
            back = self.come_back()
        self.come_in(back)
        if number < 0:
            if failed != EINTR:
                errno_to_exception(failed)
            number = 0
        PyErr_CheckSignals()   # who calls this may be compiled: handlers would wait for bytecode
        return descriptors(events, number)

    def watch(self, double nap) -> bool:
        """Stand guard: return when something is ready and nobody gets anything done.

        nap: seconds that the active threads are given at first; they get more while they cope, or
        while one of them is on its way here. 0: none, unless they were idle.
        True: help is wanted. False: look at the state of things and come back.
        """
        cdef pollfd ready
        cdef unsigned long seen = 0
        cdef double rest = nap if nap > 0 else LONG_NAP, back
        cdef bint hurry, wanted = False
        ready.fd = self.fd
        ready.events = POLLIN
        with nogil:
            while True:
                hurry = self.active and nap <= 0
                if not self.waiting and poll(&ready, 1, LOOK if self.active else -1) <= 0:
                    break
                seen = self.progress
                if self.coming or not hurry:
                    hurry = False
                    nap_for(rest)
                if self.coming or not (hurry or self.called or seen == self.progress):
                    rest = max(nap, LONG_NAP)
                elif hurry or self.called or self.waiting or poll(&ready, 1, 0) > 0:
                    wanted = True
                    break
                else:
                    rest = nap if nap > 0 else LONG_NAP
            back = self.come_back()
        self.come_in(back)
        return wanted

    def pause(self, double seconds) -> None:
        """Let another thread have the GIL, if one wants it."""
        cdef double back
        with nogil:
            nap_for(seconds)
            back = self.come_back()
        self.come_in(back)

    def close(self) -> None:
        """Give the descriptor back. Nobody may be waiting."""
        if self.fd >= 0:
            close(self.fd)
            self.fd = -1


cdef int milliseconds(double seconds) noexcept:
    """For a system call: rounded up, so that nobody wakes before the time; -1 for ever."""
    if seconds > 2e6:
        return -1
    return <int> (seconds * 1000 + 0.999) if seconds > 0 else 0


cdef int errno_to_exception(int number) except -1:
    raise OSError(number, "epoll_wait")


cdef list descriptors(epoll_event *events, int number):
    """Those of the events, and behind them once more those of which nothing else will come."""
    cdef list found = PyList_New(number)
    cdef object fd   # for C's int a new object would be made at each of its uses
    cdef int at
    cdef uint32_t seen = 0
    for at in range(number):
        seen |= events[at].events
        fd = events[at].data.fd
        Py_INCREF(fd)
        PyList_SET_ITEM(found, at, fd)
    if seen & EPOLLRDHUP:
        for at in range(number):
            if events[at].events & EPOLLRDHUP:
                found.append(events[at].data.fd)
    return found
