"""System calls on objects of the socket module that must not block, whatever their timeout. The plain twin is socket_calls.py.

They are for sockets that is_plain() knows: the methods of any other may do anything, and are to be called instead. The
descriptor is read for each call, since the owner may have closed it. A call that is interrupted is repeated, after
signal handlers had their turn; one that is interrupted again and again raises InterruptedError, and must not be taken for
one that would block.
"""
import os
import socket as socket_module
from _socket import socket as _Base

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from libc.errno cimport EAGAIN, EBADF, EINTR, errno
from hasten.kernel.workshop cimport CHUNK, Workshop

cdef extern from "socketfd.h":
    int hasten_socket_fd(object sock) noexcept
    int hasten_socket_family(object sock) noexcept
    int hasten_socket_type(object sock) noexcept
    int hasten_socket_proto(object sock) noexcept

cdef extern from *:
    """
    #include <netinet/in.h>
    #include <sys/socket.h>
    #include "syscalls.h"
    static void hasten_found(int error) { errno = error; }
    """
    void hasten_found(int error) noexcept
    int AF_INET
    int AF_INET6
    int IPPROTO_TCP
    int SOCK_STREAM
    Py_ssize_t hasten_sys_recv_now(int fd, void *to, size_t n) nogil
    Py_ssize_t hasten_sys_send_now(int fd, const void *from_, size_t n) nogil
    Py_ssize_t hasten_sys_sendfile(int to, int file, long long offset, size_t n) nogil
    bint HASTEN_SENDFILE

cdef enum:
    TRIES = 16          # of a call that is interrupted each time

cdef object _socket = socket_module.socket      # the true one, whatever is put there later


cdef bint fields_are_found():
    """True if the fields of a socket are where socketfd.h looks for them."""
    try:
        one, other = socket_module.socketpair()
    except OSError:
        return False
    with one, other:
        return (
            hasten_socket_fd(one) == one.fileno()
            and hasten_socket_family(one) == int(_Base.family.__get__(one))
            and hasten_socket_type(one) == int(_Base.type.__get__(one))
            and hasten_socket_proto(one) == _Base.proto.__get__(one)
        )


cdef bint _fields_are_found = fields_are_found()


cdef bint is_plain(object sock) noexcept:
    """True for what the functions below may be called with: a socket with the socket module's own methods."""
    kind = <object>type(sock)
    return (kind is _socket or kind is _Base) and _fields_are_found


cdef int number(object sock) except -2:
    """Return the descriptor of a socket of any kind; -1 once closed."""
    if is_plain(sock):
        return hasten_socket_fd(sock)
    return sock.fileno()


cdef bint is_tcp(object sock) noexcept:
    """True for a plain stream socket of an internet family, unless it says that its protocol is another (SCTP, say)."""
    if not is_plain(sock) or hasten_socket_type(sock) != SOCK_STREAM:
        return False
    if hasten_socket_proto(sock) != 0 and hasten_socket_proto(sock) != IPPROTO_TCP:
        return False
    return hasten_socket_family(sock) == AF_INET or hasten_socket_family(sock) == AF_INET6


cdef bytes receive(object sock, Py_ssize_t room, Workshop workshop):
    """Receive at most `room` bytes; return None if it would block. Raises OSError."""
    cdef char *start = workshop.scratch
    cdef bytes large = None
    cdef int tries = TRIES
    cdef Py_ssize_t n
    if room > CHUNK:
        large = PyBytes_FromStringAndSize(NULL, room)
        start = PyBytes_AS_STRING(large)
    while True:
        n = hasten_sys_recv_now(hasten_socket_fd(sock), start, room)
        if n >= 0:
            return large if n == room and large is not None else PyBytes_FromStringAndSize(start, n)
        if errno == EAGAIN:
            return None
        again(&tries)


cdef Py_ssize_t receive_into(object sock, object buf) except -2:
    """Receive into a writable buffer; return the number of bytes, -1 if it would block. Raises OSError."""
    cdef Py_buffer view
    cdef int tries = TRIES
    cdef Py_ssize_t n
    PyObject_GetBuffer(buf, &view, PyBUF_WRITABLE)
    try:
        while True:
            n = hasten_sys_recv_now(hasten_socket_fd(sock), view.buf, view.len)
            if n >= 0 or errno == EAGAIN:
                return n
            again(&tries)
    finally:
        PyBuffer_Release(&view)


cdef Py_ssize_t send(object sock, object data, Py_ssize_t offset) except -2:
    """Send what lies behind `offset`; return the number of bytes sent, -1 if it would block. Raises OSError."""
    cdef Py_buffer view
    if PyBytes_CheckExact(data):
        return send_from(sock, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), offset)
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return send_from(sock, <char *>view.buf, view.len, offset)
    finally:
        PyBuffer_Release(&view)


cdef Py_ssize_t send_from(object sock, const char *start, Py_ssize_t size, Py_ssize_t offset) except -2:
    cdef int tries = TRIES
    cdef Py_ssize_t n
    offset = min(offset, size)
    while True:
        n = hasten_sys_send_now(hasten_socket_fd(sock), start + offset, size - offset)
        if n >= 0 or errno == EAGAIN:
            return n
        again(&tries)


cpdef object send_file(int to, int file, long long offset, Py_ssize_t count):
    """Send at most `count` bytes of a file from `offset` on; return how many, 0 at its end. Raises OSError.

    The interpreter's lock is given away meanwhile, since the file may have to be read from a disk.
    """
    cdef Py_ssize_t n
    cdef int tries = TRIES
    if not HASTEN_SENDFILE:
        return os.sendfile(to, file, offset, count)
    while True:
        with nogil:
            n = hasten_sys_sendfile(to, file, offset, count)
        if n >= 0:
            return n
        hasten_found(<int>-n)       # taking the lock again may have changed errno
        again(&tries)


cdef int again(int *tries) except -1:
    """Return if the call that failed is to be repeated; raise its error otherwise."""
    if errno == EINTR:
        tries[0] -= 1
        if tries[0] > 0:
            PyErr_CheckSignals()
            return 0
    PyErr_SetFromErrno(OSError)
    return -1
