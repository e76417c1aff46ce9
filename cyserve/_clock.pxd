"""The clocks that Python's time.monotonic and time.time read, without a call of Python's.

Declarations only. Reading them never waits, and needs no GIL.
"""

from libc.stdint cimport uint64_t
from libc.time cimport time_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <time.h>

    static inline uint64_t clock_nanoseconds(void) {
    #ifdef __APPLE__
        return clock_gettime_nsec_np(CLOCK_UPTIME_RAW);
    #else
        struct timespec at;
        clock_gettime(CLOCK_MONOTONIC, &at);
        return (uint64_t) at.tv_sec * 1000000000u + (uint64_t) at.tv_nsec;
    #endif
    }

    static inline double clock_now(void) {
        return (double) clock_nanoseconds() * 1e-9;
    }
    """
    uint64_t clock_nanoseconds() nogil
    double clock_now() nogil
    time_t clock_second "time"(time_t *at) nogil
