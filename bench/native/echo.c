/* echo: an echo server with nothing around the system calls. What it spends
 * per request is what the kernel (and, for TLS, OpenSSL) asks of any server
 * that waits with epoll, so no event loop can be expected below it.
 *
 *     echo tcp | echo unix PATH | echo tls CERTIFICATE KEY
 *
 * Prints {"event": "ready", "port": N} and serves until it is killed. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tls.h"

enum { BUFFER = 1 << 18, BATCH = 256 };

/* What the socket did not take waits in `pending`, and nothing is read
 * meanwhile: a client that does not read its replies is not read either. */
struct peer {
    int fd;
    void *session;
    char *pending;
    size_t size, done;
};

static int queue, listener, nodelay;
static void *context;
static char buffer[BUFFER];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static ssize_t take(struct peer *peer, int *blocked) {
    ssize_t got = peer->session ? tls.read(peer->session, buffer, BUFFER) : recv(peer->fd, buffer, BUFFER, 0);
    *blocked = got < 0 && (peer->session ? tls_would_block(peer->session, (int)got) : errno == EAGAIN);
    return got;
}

static ssize_t give(struct peer *peer, const char *data, size_t size, int *blocked) {
    ssize_t sent = peer->session ? tls.write(peer->session, data, (int)size) : send(peer->fd, data, size, MSG_NOSIGNAL);
    *blocked = sent <= 0 && (peer->session ? tls_would_block(peer->session, (int)sent) : errno == EAGAIN);
    return sent;
}

static void leave(struct peer *peer) {
    if (peer->session) tls.free(peer->session);
    close(peer->fd);
    free(peer->pending);
    free(peer);
}

/* Sends what is pending. 1: all gone, 0: the socket is full, -1: broken. */
static int drain(struct peer *peer) {
    while (peer->done < peer->size) {
        int blocked;
        ssize_t sent = give(peer, peer->pending + peer->done, peer->size - peer->done, &blocked);
        if (sent <= 0) return blocked ? 0 : -1;
        peer->done += (size_t)sent;
    }
    peer->size = peer->done = 0;
    return 1;
}

/* Sends `size` bytes of the buffer; the rest, if any, becomes pending. */
static int answer(struct peer *peer, size_t size) {
    size_t sent_all = 0;
    while (sent_all < size) {
        int blocked;
        ssize_t sent = give(peer, buffer + sent_all, size - sent_all, &blocked);
        if (sent > 0) {
            sent_all += (size_t)sent;
            continue;
        }
        if (!blocked) return -1;
        peer->size = size - sent_all;
        peer->done = 0;
        peer->pending = realloc(peer->pending, peer->size);
        if (!peer->pending) fail("realloc");
        memcpy(peer->pending, buffer + sent_all, peer->size);
        return 0;
    }
    return 1;
}

/* Edge-triggered: goes on until the socket has nothing more to give or takes
 * nothing more. A short read of a plain socket tells that without a call,
 * unless its end has come already: no other edge would tell of that. */
static void serve(struct peer *peer, unsigned ready) {
    int state = drain(peer);
    while (state > 0) {
        int blocked;
        ssize_t got = take(peer, &blocked);
        if (got <= 0) {
            if (!blocked) state = -1;
            break;
        }
        state = answer(peer, (size_t)got);
        if (!peer->session && got < BUFFER && !(ready & (EPOLLRDHUP | EPOLLHUP))) break;
    }
    if (state < 0) leave(peer);
}

static void admit(void) {
    for (;;) {
        int on = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        if (nodelay) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct peer *peer = calloc(1, sizeof *peer);
        if (!peer) fail("calloc");
        peer->fd = fd;
        if (context) {
            peer->session = tls.new(context);
            tls.set_fd(peer->session, fd);
            tls.as_server(peer->session);
        }
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = peer};
        epoll_ctl(queue, EPOLL_CTL_ADD, fd, &event);
    }
}

static int listen_unix(const char *path) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof name) || listen(fd, SOMAXCONN)) fail(path);
    return fd;
}

static int listen_tcp(int *port) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof name;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, size) || listen(fd, SOMAXCONN)) fail("127.0.0.1");
    if (getsockname(fd, (struct sockaddr *)&name, &size)) fail("getsockname");
    *port = ntohs(name.sin_port);
    return fd;
}

int main(int argc, char **argv) {
    int port = 0;
    struct rlimit files;
    signal(SIGPIPE, SIG_IGN);
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (argc == 3 && !strcmp(argv[1], "unix")) {
        listener = listen_unix(argv[2]);
    } else if ((argc == 2 && !strcmp(argv[1], "tcp")) || (argc == 4 && !strcmp(argv[1], "tls"))) {
        nodelay = 1;
        listener = listen_tcp(&port);
    } else {
        fprintf(stderr, "echo tcp | echo unix PATH | echo tls CERTIFICATE KEY\n");
        return 2;
    }
    if (argc == 4) {
        const char *missing = tls_load();
        if (missing) {
            printf("{\"event\": \"unsupported\", \"why\": \"%s\"}\n", missing);
            return 0;
        }
        context = tls_context(tls.server_method());
        if (!context || tls.ctx_chain(context, argv[2]) != 1 || tls.ctx_key(context, argv[3], TLS_PEM) != 1) {
            fprintf(stderr, "cannot use %s and %s\n", argv[2], argv[3]);
            return 1;
        }
    }
    queue = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[BATCH] = {{.events = EPOLLIN, .data.ptr = NULL}};
    epoll_ctl(queue, EPOLL_CTL_ADD, listener, events);
    printf("{\"event\": \"ready\", \"port\": %d}\n", port);
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(queue, events, BATCH, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr) serve(events[i].data.ptr, events[i].events);
            else admit();
        }
    }
}
