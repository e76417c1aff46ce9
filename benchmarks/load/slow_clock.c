/* Preloaded into servers under valgrind, which makes them some fifty times slower, and more on a busy
   machine: so is their clock. Else what they do by the clock would come with every other request. */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TIMES 200
#define SECOND 1000000000LL

int clock_gettime(clockid_t clock, struct timespec *at) {
    if (syscall(SYS_clock_gettime, clock, at)) return -1;
    if (clock == CLOCK_MONOTONIC) {
        long long slow = (at->tv_sec * SECOND + at->tv_nsec) / TIMES;
        at->tv_sec = slow / SECOND;
        at->tv_nsec = slow % SECOND;
    }
    return 0;
}
