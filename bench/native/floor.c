/* floor: what an event loop cannot go below that gives what it receives to a
 * Protocol written in Python: the system calls of echo.c, and between them
 * data_received() and write(), each called once for each message. Nothing else
 * of asyncio is here: no other callbacks, no timers, no limits, no errors.
 *
 *     floor.serve(fd of a listening socket, protocol factory, is it TCP) */
#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#include <Python.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 1 << 18, BATCH = 256 };

static char buffer[BUFFER];

typedef struct {
    PyObject_HEAD
    int fd;
    PyObject *received, *lost; /* the protocol's methods */
    PyObject *pending;         /* bytes that the socket did not take; nothing is read meanwhile */
    Py_ssize_t done;
} Transport;

/* 1: all gone, 0: the socket is full, -1: broken */
static int drain(Transport *self) {
    while (self->pending) {
        char *data = PyBytes_AS_STRING(self->pending);
        Py_ssize_t size = PyBytes_GET_SIZE(self->pending);
        ssize_t sent = send(self->fd, data + self->done, (size_t)(size - self->done), MSG_NOSIGNAL);
        if (sent < 0) return errno == EAGAIN ? 0 : -1;
        self->done += sent;
        if (self->done == size) Py_CLEAR(self->pending);
    }
    return 1;
}

static PyObject *transport_write(Transport *self, PyObject *data) {
    if (!PyBytes_Check(data) || self->pending) {
        PyErr_SetString(PyExc_TypeError, "one write of bytes for each message");
        return NULL;
    }
    ssize_t size = PyBytes_GET_SIZE(data);
    ssize_t sent = send(self->fd, PyBytes_AS_STRING(data), (size_t)size, MSG_NOSIGNAL);
    if (sent != size) {
        self->done = sent < 0 ? 0 : sent;
        self->pending = Py_NewRef(data);
    }
    Py_RETURN_NONE;
}

static void transport_dealloc(Transport *self) {
    Py_CLEAR(self->received);
    Py_CLEAR(self->lost);
    Py_CLEAR(self->pending);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef transport_methods[] = {{"write", (PyCFunction)transport_write, METH_O, NULL}, {0}};
static PyTypeObject TransportType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "floor.Transport",
    .tp_basicsize = sizeof(Transport),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_dealloc = (destructor)transport_dealloc,
    .tp_methods = transport_methods,
};

static int admit(int queue, int fd, PyObject *factory) {
    Transport *made = PyObject_New(Transport, &TransportType);
    if (!made) return -1;
    made->fd = fd;
    made->received = made->lost = made->pending = NULL;
    PyObject *protocol = PyObject_CallNoArgs(factory), *done = NULL;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = made};
    int ok = protocol && (made->received = PyObject_GetAttrString(protocol, "data_received"))
        && (made->lost = PyObject_GetAttrString(protocol, "connection_lost"))
        && (done = PyObject_CallMethod(protocol, "connection_made", "O", made));
    if (ok && epoll_ctl(queue, EPOLL_CTL_ADD, fd, &event)) ok = PyErr_SetFromErrno(PyExc_OSError) != NULL;
    Py_XDECREF(protocol);
    Py_XDECREF(done);
    if (!ok) Py_DECREF(made); /* else it lives until leave() */
    return ok ? 0 : -1;
}

static int leave(Transport *self) {
    close(self->fd);
    PyObject *done = PyObject_CallOneArg(self->lost, Py_None);
    Py_DECREF(self);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static int react(Transport *self, unsigned ready) {
    int state = drain(self);
    while (state > 0) {
        ssize_t got = recv(self->fd, buffer, BUFFER, 0);
        if (got <= 0) {
            if (got == 0 || errno != EAGAIN) state = -1;
            break;
        }
        PyObject *data = PyBytes_FromStringAndSize(buffer, got);
        if (!data) return -1;
        PyObject *done = PyObject_CallOneArg(self->received, data);
        Py_DECREF(data);
        if (!done) return -1;
        Py_DECREF(done);
        if (self->pending) break;
        if (got < BUFFER && !(ready & (EPOLLRDHUP | EPOLLHUP))) break;
    }
    return state < 0 ? leave(self) : 0;
}

static PyObject *serve(PyObject *module, PyObject *args) {
    int listener, is_tcp, on = 1, queue = epoll_create1(EPOLL_CLOEXEC);
    PyObject *factory;
    (void)module;
    if (!PyArg_ParseTuple(args, "iOp", &listener, &factory, &is_tcp)) return NULL;
    struct epoll_event events[BATCH] = {{.events = EPOLLIN, .data.ptr = NULL}};
    if (queue < 0 || epoll_ctl(queue, EPOLL_CTL_ADD, listener, events)) return PyErr_SetFromErrno(PyExc_OSError);
    for (;;) {
        int count;
        Py_BEGIN_ALLOW_THREADS
        count = epoll_wait(queue, events, BATCH, -1);
        Py_END_ALLOW_THREADS
        if (PyErr_CheckSignals()) return NULL;
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr) {
                if (react(events[i].data.ptr, events[i].events)) return NULL;
                continue;
            }
            int fd;
            while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
                if (is_tcp) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                if (admit(queue, fd, factory)) return NULL;
            }
        }
    }
}

static PyMethodDef functions[] = {{"serve", serve, METH_VARARGS, NULL}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "floor", .m_size = -1, .m_methods = functions};

PyMODINIT_FUNC PyInit_floor(void) { return PyType_Ready(&TransportType) ? NULL : PyModule_Create(&module); }
