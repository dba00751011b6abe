"""Nonblocking reads and writes of a socket. The plain twin is sockio.py.

The interpreter's lock is kept: the calls do not block, and giving the lock away costs as much as a small recv.
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from cpython.mem cimport PyMem_RawMalloc
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
    """
    int MSG_NOSIGNAL
    ctypedef struct iovec "struct iovec":
        void *iov_base
        size_t iov_len
    Py_ssize_t c_recv "recv"(int fd, void *buf, size_t n, int flags) nogil
    Py_ssize_t c_send "send"(int fd, const void *buf, size_t n, int flags) nogil
    Py_ssize_t hasten_sendv(int fd, iovec *iov, int n) nogil

# Received into first, then copied to bytes of the right size: a fresh 256 KiB object for each recv would cost
# page faults. One for the process: it is used between two lines that hold the interpreter's lock.
cdef char *_scratch = <char *>PyMem_RawMalloc(CHUNK)
if _scratch == NULL:
    raise MemoryError()

cdef enum:
    MANY = 64           # pieces in one sendmsg


cdef inline bint would_block() noexcept:
    return errno == EAGAIN or errno == EINTR    # EWOULDBLOCK is EAGAIN wherever this is compiled


cdef object recv(object sock, int fd):
    """What there is, at most CHUNK bytes; b"" at the end; None if it would block. Raises OSError."""
    cdef Py_ssize_t n = c_recv(fd, _scratch, CHUNK, 0)
    if n >= 0:
        return PyBytes_FromStringAndSize(_scratch, n)
    if would_block():
        return None
    PyErr_SetFromErrno(OSError)


cdef Py_ssize_t recv_into(object sock, int fd, object buf) except -2:
    """Fills a writable buffer: the number of bytes, 0 at the end, -1 if it would block. Raises OSError."""
    cdef Py_buffer view
    PyObject_GetBuffer(buf, &view, PyBUF_WRITABLE)
    cdef Py_ssize_t n = c_recv(fd, view.buf, view.len, 0)
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
