"""Who is at the other end of a connection, spelled as Python's socket module spells it."""

from cpython.bytes cimport PyBytes_FromStringAndSize

from cyserve._bytes cimport latin1

cdef extern from "Python.h":
    str PyUnicode_DecodeFSDefault(const char *text)

cdef extern from *:
    """
    #include <stddef.h>
    #include <sys/socket.h>
    #include <sys/un.h>
    #include <netinet/in.h>
    #include <arpa/inet.h>
    #define PATH_AT offsetof(struct sockaddr_un, sun_path)

    union peer {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
        struct sockaddr_un path;
        char room[sizeof(struct sockaddr_un) + 1];   /* a path may fill all of it */
    };
    """
    ctypedef struct sockaddr "struct sockaddr":
        int sa_family
    ctypedef struct in_addr "struct in_addr":
        unsigned int s_addr
    ctypedef struct in6_addr "struct in6_addr":
        unsigned char s6_addr[16]
    ctypedef struct sockaddr_in "struct sockaddr_in":
        unsigned short sin_port
        in_addr sin_addr
    ctypedef struct sockaddr_in6 "struct sockaddr_in6":
        unsigned short sin6_port
        unsigned int sin6_flowinfo, sin6_scope_id
        in6_addr sin6_addr
    ctypedef struct sockaddr_un "struct sockaddr_un":
        char *sun_path
    ctypedef union peer "union peer":
        sockaddr any
        sockaddr_in four
        sockaddr_in6 six
        sockaddr_un path
        char *room
    const char *inet_ntop(int family, const void *address, char *text, unsigned int size)
    unsigned short ntohs(unsigned short number)
    unsigned int ntohl(unsigned int number)
    int AF_INET, AF_INET6, AF_UNIX, INET6_ADDRSTRLEN
    size_t PATH_AT


cdef inline str dotted(const unsigned char *octets):
    """An IPv4 address; inet_ntop(3) takes four times as long."""
    cdef char text[16]
    cdef int size = 0, place, octet
    for place in range(4):
        octet = octets[place]
        if octet > 99:
            text[size] = 48 + octet // 100
            size += 1
        if octet > 9:
            text[size] = 48 + octet // 10 % 10
            size += 1
        text[size] = 48 + octet % 10
        text[size + 1] = 46
        size += 2
    return latin1(text, size - 1, False)


cdef inline object peer_address(peer *name, unsigned int size):
    """What accept4(2) has told. None: nothing, or of a family that is not known here."""
    cdef char text[64]
    if size < PATH_AT:
        return None
    if name.any.sa_family == AF_INET:
        return dotted(<const unsigned char *> &name.four.sin_addr), ntohs(name.four.sin_port)
    if name.any.sa_family == AF_INET6:
        inet_ntop(AF_INET6, &name.six.sin6_addr, text, sizeof(text))
        return (
            text.decode("ascii"), ntohs(name.six.sin6_port),
            ntohl(name.six.sin6_flowinfo), name.six.sin6_scope_id)
    if name.any.sa_family == AF_UNIX:
        if size > PATH_AT and name.path.sun_path[0] == 0:   # an abstract one
            return PyBytes_FromStringAndSize(name.path.sun_path, size - PATH_AT)
        name.room[size] = 0
        return PyUnicode_DecodeFSDefault(name.path.sun_path)
    return None
