/* Socket addresses: the kernel's form, of all families that are known here. */
#ifndef HASTEN_ADDRESSES_H
#define HASTEN_ADDRESSES_H
#include <Python.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

typedef union {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
    struct sockaddr_un local;
    struct sockaddr_storage all;
} hasten_address;

static inline int hasten_name(int fd, int of_peer, hasten_address *a, socklen_t *n) {
    return of_peer ? getpeername(fd, &a->any, n) : getsockname(fd, &a->any, n);
}
#endif
