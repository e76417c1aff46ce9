"""The system calls on sockets that the compiled kernel makes, under one name on every platform.

Declarations only; who calls them says why they cannot block.
"""

from cyserve._peer cimport sockaddr

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
    int close(int fd)
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
