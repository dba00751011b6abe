/* The descriptor of an object of the socket module, as it is now: its owner may have closed or detached it, and another
 * file may have the number since. It is read from the field in which _socket.c keeps it, since a call of fileno() for each
 * read and write would cost too much. */
#ifndef HASTEN_SOCKETFD_H
#define HASTEN_SOCKETFD_H
#include <Python.h>

typedef struct {
    PyObject_HEAD
    int fd;         /* the first fields of all versions; socket_channel.pyx and socket_calls.pyx check them at import */
    int family;
    int type;
    int proto;
} hasten_socket_object;

static inline int hasten_socket_fd(PyObject *sock) {
    return sock == Py_None ? -1 : ((hasten_socket_object *)sock)->fd;
}
static inline int hasten_socket_family(PyObject *sock) { return ((hasten_socket_object *)sock)->family; }
static inline int hasten_socket_type(PyObject *sock) { return ((hasten_socket_object *)sock)->type; }
static inline int hasten_socket_proto(PyObject *sock) { return ((hasten_socket_object *)sock)->proto; }
#endif
