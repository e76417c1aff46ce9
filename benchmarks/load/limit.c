/* The limit: epoll, one read and one write per request, a fixed answer, nothing checked. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIELDS "HTTP/1.1 200 OK\r\nServer: limit\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n" \
               "Content-Type: text/plain\r\nContent-Length: 13\r\n"
static const char keep[] = FIELDS "Connection: keep-alive\r\n\r\nHello, World!";
static const char last[] = FIELDS "Connection: close\r\n\r\nHello, World!";

/* Answers what is there; 0: nothing more now, -1: the connection is over. */
static int answer(int fd) {
    static char head[65536];
    ssize_t n = recv(fd, head, sizeof head - 1, MSG_DONTWAIT);
    if (n <= 0) return n == 0 ? -1 : 0;
    head[n] = 0;
    int over = strstr(head, "Connection: close") != NULL;
    if (send(fd, over ? last : keep, over ? sizeof last - 1 : sizeof keep - 1, MSG_NOSIGNAL) < 0)
        return -1;
    return over ? -1 : 0;
}

int main(int argc, char **argv) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons(argc > 1 ? atoi(argv[1]) : 8000)};
    int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poll = epoll_create1(0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 2048)) return 1;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[64];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(poll, ready, 64, -1);
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd, fresh = fd == listener;
            if (fresh && (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) < 0) continue;
            if (answer(fd) < 0) { close(fd); continue; }
            event.data.fd = fd;
            if (fresh) epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
        }
    }
}
