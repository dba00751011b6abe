/* The descriptor of an object of the socket module, as it is now: its owner may have closed or detached it, and the number
 * may be somebody else's by then. Read where _socket.c keeps it, as a call of fileno() for each read and write would be felt. */
#ifndef HASTEN_SOCKETFD_H
#define HASTEN_SOCKETFD_H
#include <Python.h>

typedef struct {
    PyObject_HEAD
    int fd;         /* the first field of all versions; socket_channel.pyx checks it at import */
} hasten_socket_object;

static inline int hasten_socket_fd(PyObject *sock) {
    return sock == Py_None ? -1 : ((hasten_socket_object *)sock)->fd;
}
#endif
