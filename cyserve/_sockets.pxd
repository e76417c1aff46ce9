"""The system calls on sockets that the compiled kernel makes, under one name on every platform.

Who calls them says why they cannot block. Two are wrapped, for they may have to be made again.
"""

from libc.errno cimport EAGAIN, ECONNABORTED, EINTR, errno

from cpython.exc cimport PyErr_SetFromErrno

from cyserve._peer cimport peer, sockaddr

cdef extern from *:
    """
    #include <sys/socket.h>
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0    /* macOS: Python ignores SIGPIPE anyway */
    #endif
    #include <fcntl.h>
    #include <unistd.h>
    #ifdef __APPLE__
    #define SOCK_NONBLOCK 1
    #define SOCK_CLOEXEC 2
    static int accept4(int fd, struct sockaddr *name, socklen_t *size, int flags) {
        int taken = accept(fd, name, size);
        if (taken >= 0) {
            fcntl(taken, F_SETFD, FD_CLOEXEC);
            fcntl(taken, F_SETFL, O_NONBLOCK);
        }
        return taken;
    }
    #endif
    """
    int close_socket "close" (int fd)
    int accept4(int fd, sockaddr *name, unsigned int *size, int flags)
    int SOCK_NONBLOCK, SOCK_CLOEXEC
    ssize_t recv(int fd, void *buffer, size_t size, int flags)
    ssize_t send(int fd, const void *buffer, size_t size, int flags)
    ssize_t sendmsg(int fd, const msghdr *message, int flags)
    int MSG_DONTWAIT, MSG_NOSIGNAL
    ctypedef struct iovec "struct iovec":
        void *iov_base
        size_t iov_len
    ctypedef struct msghdr "struct msghdr":
        iovec *msg_iov
        size_t msg_iovlen


cdef inline int take_client(int listener, peer *name, unsigned int *size) except -2:
    """Accept a connection, in non-blocking mode, and tell whose it is; -1: nobody waits."""
    cdef int taken
    while True:
        size[0] = sizeof(name[0]) - 1
        taken = accept4(listener, &name.any, size, SOCK_NONBLOCK | SOCK_CLOEXEC)
        if taken >= 0:
            return taken
        if errno == EAGAIN:
            return -1
        if errno != EINTR and errno != ECONNABORTED:
            PyErr_SetFromErrno(OSError)


cdef inline Py_ssize_t receive(int fd, void *to, Py_ssize_t size) except -2:
    """Receive once, without blocking; -1: there is nothing now."""
    cdef ssize_t got
    while True:
        got = recv(fd, to, size, MSG_DONTWAIT)
        if got >= 0:
            return got
        if errno == EAGAIN:
            return -1
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)
