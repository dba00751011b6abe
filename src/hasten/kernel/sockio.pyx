"""Nonblocking reads and writes of a socket. The plain twin is sockio.py.

The interpreter's lock is kept: the calls do not block, and giving the lock away costs as much as a small recv.
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from cpython.mem cimport PyMem_RawMalloc
from cpython.ref cimport Py_INCREF, PyObject
from libc.errno cimport EAGAIN, EINTR, errno

cdef extern from *:
    """
    #include <sys/types.h>
    #include <sys/socket.h>
    #include <sys/uio.h>
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0
    #endif
    static ssize_t hasten_sendv(int fd, struct iovec *iov, int n) {
        struct msghdr m = {0};
        m.msg_iov = iov;
        m.msg_iovlen = n;
        return sendmsg(fd, &m, MSG_NOSIGNAL);
    }
    /* Descriptors that come with the data are dropped, but the data behind them is left for the next call: `cut`. */
    static ssize_t hasten_recv_local(int fd, void *buf, size_t n, int *cut) {
        struct iovec iov = {buf, n};
        struct msghdr m = {0};
        m.msg_iov = &iov;
        m.msg_iovlen = 1;
        ssize_t got = recvmsg(fd, &m, 0);
        *cut = got > 0 && (m.msg_flags & MSG_CTRUNC) != 0;
        return got;
    }
    """
    int MSG_NOSIGNAL
    ctypedef struct iovec "struct iovec":
        void *iov_base
        size_t iov_len
    Py_ssize_t c_recv "recv"(int fd, void *buf, size_t n, int flags) nogil
    Py_ssize_t c_send "send"(int fd, const void *buf, size_t n, int flags) nogil
    Py_ssize_t hasten_recv_local(int fd, void *buf, size_t n, int *cut) nogil
    Py_ssize_t hasten_sendv(int fd, iovec *iov, int n) nogil

# Received into first, then copied to bytes of the right size: a fresh 256 KiB object for each recv would cost
# page faults. One for the process: it is used between two lines that hold the interpreter's lock.
cdef char *_scratch = <char *>PyMem_RawMalloc(CHUNK)
if _scratch == NULL:
    raise MemoryError()

cdef enum:
    MANY = 64           # pieces in one sendmsg


cdef extern from *:
    """
    #include <errno.h>
    static inline void hasten_errno_set(int e) { errno = e; }
    """
    void errno_set "hasten_errno_set"(int e) noexcept
    Py_ssize_t Py_REFCNT(object) noexcept


cdef inline bint would_block() noexcept:
    return errno == EAGAIN or errno == EINTR    # EWOULDBLOCK is EAGAIN wherever this is compiled


cdef enum:
    LARGE = 16384       # from here on one more copy, or fresh memory for each recv, is what costs


cdef extern from *:
    """
    /* A large bytes object that was received into directly. While it is out with a protocol its size is that of the
     * data; when it comes back and nobody has kept it, it serves again. */
    static PyObject *hasten_spare;          /* owned, or NULL */
    static Py_ssize_t hasten_spare_room;

    static PyObject *hasten_take_spare(Py_ssize_t *room) {      /* new */
        PyObject *b = hasten_spare;
        if (b != NULL && hasten_spare_room >= *room && hasten_spare_room <= 4 * *room) {
            hasten_spare = NULL;
            *room = hasten_spare_room;
            return b;
        }
        return PyBytes_FromStringAndSize(NULL, *room);
    }
    static void hasten_resize(PyObject *b, Py_ssize_t n) {
        Py_SET_SIZE((PyVarObject *)b, n);
        PyBytes_AS_STRING(b)[n] = 0;
        _Py_COMP_DIAG_PUSH
        _Py_COMP_DIAG_IGNORE_DEPR_DECLS
        ((PyBytesObject *)b)->ob_shash = -1;
        _Py_COMP_DIAG_POP
    }
    static void hasten_keep_spare(PyObject *b, Py_ssize_t room) {   /* steals */
        PyObject *old = hasten_spare;
        hasten_resize(b, room);
        hasten_spare = b;
        hasten_spare_room = room;
        Py_XDECREF(old);
    }
    """
    object hasten_take_spare(Py_ssize_t *room)
    void hasten_resize(object b, Py_ssize_t n) noexcept
    void hasten_keep_spare(PyObject *b, Py_ssize_t room) noexcept


capacity = CHUNK
lent = 0


cdef inline Py_ssize_t receive(int fd, void *buf, Py_ssize_t room, bint local) noexcept:
    """One recv(2), and `capacity`."""
    global capacity
    cdef int cut
    cdef Py_ssize_t n
    capacity = room
    if not local:
        return c_recv(fd, buf, room, 0)
    n = hasten_recv_local(fd, buf, room, &cut)
    if cut:
        capacity = n
    return n


cdef object recv(object sock, int fd, Py_ssize_t expected, bint local):
    """What there is, at most CHUNK bytes; b"" at the end; None if it would block. Raises OSError.

    `local`: it is a unix socket. `expected` is what the latest recv gave: large ones go straight into the object that the protocol gets, which is
    used again if give_back() finds that nobody has kept it.
    """
    global lent
    cdef Py_ssize_t n
    lent = 0
    if expected >= LARGE:
        return recv_large(fd, expected, local)
    n = receive(fd, _scratch, CHUNK, local)
    if n >= 0:
        return PyBytes_FromStringAndSize(_scratch, n)
    if would_block():
        return None
    PyErr_SetFromErrno(OSError)


cdef object recv_large(int fd, Py_ssize_t expected, bint local):
    global lent
    cdef Py_ssize_t n, room = 2 * LARGE
    while room < CHUNK and room < expected + expected // 4:
        room *= 2
    data = hasten_take_spare(&room)
    n = receive(fd, PyBytes_AS_STRING(data), room, local)
    if n >= room // 4:
        hasten_resize(data, n)
        lent = room
        return data
    # nothing, or so little that the room would be wasted on it
    cdef int error = errno
    result = None if n < 0 else PyBytes_FromStringAndSize(PyBytes_AS_STRING(data), n)
    Py_INCREF(data)
    hasten_keep_spare(<PyObject *>data, room)
    errno_set(error)
    if n < 0 and not would_block():
        PyErr_SetFromErrno(OSError)
    return result


cdef int give_back(object data, Py_ssize_t room) except -1:
    """The protocol has seen what recv() gave, with `lent` = room. The caller has the one reference that it knows of."""
    if Py_REFCNT(data) == 1:
        Py_INCREF(data)
        hasten_keep_spare(<PyObject *>data, room)
    return 0


cdef Py_ssize_t recv_into(object sock, int fd, object buf, bint local) except -2:
    """Fills a writable buffer: the number of bytes, 0 at the end, -1 if it would block. Raises OSError."""
    cdef Py_buffer view
    PyObject_GetBuffer(buf, &view, PyBUF_WRITABLE)
    cdef Py_ssize_t n = receive(fd, view.buf, view.len, local)
    cdef bint again = n < 0 and would_block()
    PyBuffer_Release(&view)
    if n >= 0:
        return n
    if again:
        return -1
    PyErr_SetFromErrno(OSError)
    return -2


cdef Py_ssize_t send(object sock, int fd, object data) except -2:
    """Sends a bytes-like object: the number of bytes that went, -1 if it would block. Raises OSError."""
    return send_from(sock, fd, data, 0)


cdef Py_ssize_t send_from(object sock, int fd, object data, Py_ssize_t offset) except -2:
    """send() of what lies behind `offset`."""
    cdef Py_buffer view
    cdef Py_ssize_t n
    cdef bint again
    if PyBytes_CheckExact(data):
        n = c_send(fd, PyBytes_AS_STRING(data) + offset, PyBytes_GET_SIZE(data) - offset, MSG_NOSIGNAL)
        again = n < 0 and would_block()
    else:
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        n = c_send(fd, <char *>view.buf + offset, view.len - offset, MSG_NOSIGNAL)
        again = n < 0 and would_block()
        PyBuffer_Release(&view)
    if n >= 0:
        return n
    if again:
        return -1
    PyErr_SetFromErrno(OSError)
    return -2


cdef Py_ssize_t send_many(object sock, int fd, object items, Py_ssize_t offset) except -2:
    """send() of the first pieces (bytes) of a sequence in one system call, without `offset` bytes of the first."""
    cdef iovec iov[MANY]
    cdef int n = 0
    cdef Py_ssize_t sent
    keep = []           # the pieces cannot go away: nothing else runs, but who says so of an iterator
    for item in items:
        keep.append(item)
        iov[n].iov_base = <void *>(PyBytes_AS_STRING(<bytes>item) + offset)
        iov[n].iov_len = PyBytes_GET_SIZE(<bytes>item) - offset
        offset = 0
        n += 1
        if n == MANY:
            break
    sent = hasten_sendv(fd, iov, n)
    if sent >= 0:
        return sent
    if would_block():
        return -1
    PyErr_SetFromErrno(OSError)
    return -2
