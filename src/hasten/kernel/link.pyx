"""A connected socket as a transport holds it. The plain twin is link.py.

An accepted connection is a file descriptor and the peer's address as the kernel gave it. An object of the socket module,
and addresses as Python shows them, are made when somebody asks for them.
"""
import socket as socket_module
from _socket import socket as _Base

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport EAGAIN, ECONNRESET, EINTR, errno
from hasten.kernel.step cimport is_instance

cdef extern from *:
    """
    #include <arpa/inet.h>
    #include <fcntl.h>
    #include <netinet/in.h>
    #include <stddef.h>
    #include <string.h>
    #include <sys/socket.h>
    #include <sys/un.h>
    #include <unistd.h>

    typedef union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
        struct sockaddr_un local;
        struct sockaddr_storage all;
    } hasten_address;

    static int hasten_accept(int fd, hasten_address *a, socklen_t *n) {     /* a nonblocking one, or -1 */
    #ifdef SOCK_NONBLOCK
        return accept4(fd, &a->any, n, SOCK_NONBLOCK | SOCK_CLOEXEC);
    #else
        int c = accept(fd, &a->any, n);
        if (c >= 0) {
            fcntl(c, F_SETFD, FD_CLOEXEC);
            fcntl(c, F_SETFL, fcntl(c, F_GETFL) | O_NONBLOCK);
        }
        return c;
    #endif
    }
    static int hasten_name(int fd, int of_peer, hasten_address *a, socklen_t *n) {
        return of_peer ? getpeername(fd, &a->any, n) : getsockname(fd, &a->any, n);
    }
    static PyObject *hasten_show_internet(const hasten_address *a) {
        char text[INET6_ADDRSTRLEN];
        if (a->any.sa_family == AF_INET) {
            if (!inet_ntop(AF_INET, &a->four.sin_addr, text, sizeof text)) return PyErr_SetFromErrno(PyExc_OSError);
            return Py_BuildValue("si", text, ntohs(a->four.sin_port));
        }
        if (!inet_ntop(AF_INET6, &a->six.sin6_addr, text, sizeof text)) return PyErr_SetFromErrno(PyExc_OSError);
        return Py_BuildValue("siII", text, ntohs(a->six.sin6_port), (unsigned)ntohl(a->six.sin6_flowinfo),
                             (unsigned)a->six.sin6_scope_id);
    }
    static PyObject *hasten_show_local(const hasten_address *a, size_t n) {
        size_t before = offsetof(struct sockaddr_un, sun_path);
        const char *path = a->local.sun_path;
        n = n > before ? n - before : 0;
        if (n > sizeof a->local.sun_path) n = sizeof a->local.sun_path;
        if (n > 0 && path[0] == 0) return PyBytes_FromStringAndSize(path, (Py_ssize_t)n);      /* Linux: abstract */
        return PyUnicode_DecodeFSDefaultAndSize(path, (Py_ssize_t)strnlen(path, n));
    }
    static PyObject *hasten_show(const char *raw, Py_ssize_t n) {       /* new, as the socket module shows it */
        hasten_address a;
        memset(&a, 0, sizeof a);
        memcpy(&a, raw, (size_t)n < sizeof a ? (size_t)n : sizeof a);
        if (a.any.sa_family == AF_UNIX) return hasten_show_local(&a, (size_t)n);
        return hasten_show_internet(&a);
    }
    """
    ctypedef unsigned int socklen_t
    ctypedef struct hasten_address:
        pass
    int AF_INET, AF_INET6, AF_UNIX, SHUT_WR
    int hasten_accept(int fd, hasten_address *a, socklen_t *n) nogil
    int hasten_name(int fd, int of_peer, hasten_address *a, socklen_t *n) nogil
    object hasten_show(const char *raw, Py_ssize_t n)
    int c_close "close"(int fd) nogil
    int c_shutdown "shutdown"(int fd, int how) nogil

cdef object _socket = socket_module.socket      # the true one, whatever is put there later
cdef object _true_accept = socket_module.socket.accept
cdef object _STREAM = int(socket_module.SOCK_STREAM)
cdef object _close = _Base.close
cdef object _family_of = _Base.family.__get__     # without the enum that socket.socket makes of it


cdef bint fd_is_found():
    """Is the descriptor where hasten_socket_fd() looks for it?"""
    try:
        one, other = socket_module.socketpair()
    except OSError:
        return False
    with one, other:
        return hasten_socket_fd(one) == one.fileno() and hasten_socket_fd(other) == other.fileno()


cdef bint _fd_is_found = fd_is_found()
# What a transport calls of a socket. Where somebody has put methods of their own there, these are called.
cdef tuple _METHODS = ("recv", "recv_into", "recvmsg", "recvmsg_into", "send", "sendmsg", "shutdown")


cdef bint is_true_socket(object sock) noexcept:
    """Is it an object of the socket module, whatever its `__class__` says?"""
    return is_instance(sock, _Base)


cdef bint has_own_methods(object sock) except -1:
    kind = type(sock)
    if kind is _socket or kind is _Base:
        return False
    own = getattr(sock, "__dict__", ())
    for name in _METHODS:
        if name in own or getattr(kind, name, None) is not getattr(_Base, name, None):
            return True
    return False


cdef inline bint known(int domain) noexcept:
    return domain == AF_INET or domain == AF_INET6 or domain == AF_UNIX


cdef class Link:
    def __cinit__(self):
        self.fd = -1

    def __dealloc__(self):
        if self.owned:      # not `made is None`: the collector may have taken `made` away by now
            c_close(self.fd)

    def fileno(self):
        """The file descriptor; -1 once closed."""
        return self.fd

    cdef bint internet(self) noexcept:
        """Is it TCP?"""
        return self.domain == AF_INET or self.domain == AF_INET6

    cpdef object socket(self):
        """The socket.socket. The descriptor is its own from then on."""
        if self.made is not None:
            return self.made
        if not self.owned:
            new = _socket(self.domain, _STREAM)
            new.close()
        else:
            new = _socket(self.domain, _STREAM, -1, self.fd)
            if not self.owned or self.made is not None:     # Python ran: somebody was faster
                new.detach()
                return self.socket()
            self.owned = False
            self.real = _fd_is_found
        self.made = new
        if self.fd >= 0:
            new.setblocking(False)
        return new

    cdef int close(self) except -1:
        cdef int fd = self.fd, failed
        cdef bint owned = self.owned
        made = self.made
        self.fd = -1
        self.owned = False
        if owned:
            with nogil:     # it may linger
                failed = c_close(fd)
            if failed and errno != EINTR and errno != ECONNRESET:
                PyErr_SetFromErrno(OSError)
        elif made is not None:
            close_object(made)
        return 0

    cdef int shut_writing(self) except -1:
        """The peer will see the end of what we sent. Raises OSError."""
        made = self.made
        if self.foreign:
            made.shutdown(SHUT_WR)
        elif c_shutdown(descriptor(self), SHUT_WR):
            PyErr_SetFromErrno(OSError)
        return 0

    cdef int note_sockname(self) except -1:
        """For sockname() after the end."""
        if self.fd >= 0 and self.local is None:
            self.local = name_of(self, 0, &self.local_shown)
        return 0

    cdef object sockname(self):
        """Our address, or None."""
        self.note_sockname()
        if not self.local_shown and self.local is not None:
            self.local = hasten_show(PyBytes_AS_STRING(self.local), PyBytes_GET_SIZE(self.local))
            self.local_shown = True
        return self.local

    cdef object peername(self):
        """The peer's address, or None."""
        if not self.peer_shown and self.peer is not None:
            self.peer = hasten_show(PyBytes_AS_STRING(self.peer), PyBytes_GET_SIZE(self.peer))
            self.peer_shown = True
        return self.peer


cdef int close_object(object made) except -1:
    try:
        made.close()
    except MemoryError:     # its method is written in Python; the descriptor is closed nevertheless
        if not is_true_socket(made) or made._io_refs > 0:
            raise
        _close(made)
    return 0


cdef object name_of(Link link, int of_peer, bint *shown):
    cdef hasten_address a
    cdef socklen_t n = sizeof(a)
    made = link.made
    if known(link.domain) and not link.foreign:
        shown[0] = False
        return None if hasten_name(descriptor(link), of_peer, &a, &n) or n == 0 else PyBytes_FromStringAndSize(<char *>&a, n)
    shown[0] = True
    try:
        return made.getpeername() if of_peer else made.getsockname()
    except OSError:
        return None


cpdef Link hold(object sock):
    """Takes over a connected nonblocking socket.socket, or what has its methods. Its owner closes it, or close()."""
    cdef Link link = Link()
    link.made = sock
    if is_true_socket(sock):
        link.domain = _family_of(sock)
        link.real = _fd_is_found
        link.foreign = has_own_methods(sock)
    else:
        link.domain = int(sock.family)
        link.foreign = True
    link.fd = sock.fileno()
    link.peer = name_of(link, 1, &link.peer_shown)
    return link


cpdef object acceptor(object sock):
    """The socket.socket whose accept() that of `sock` is: itself, or what a wrapper holds; None: its own."""
    if type(sock) is _socket:
        return sock
    method = sock.accept
    inner = getattr(method, "__self__", None)
    if getattr(method, "__func__", None) is not _true_accept or not is_true_socket(inner):
        return None
    return inner if inner is sock or inner.fileno() == sock.fileno() else None


cdef Link accept(object sock, int fd, int domain):
    """The next connection of a listening socket, nonblocking; None: there is none yet. Raises OSError."""
    cdef hasten_address a
    cdef socklen_t n = sizeof(a)
    cdef int got
    cdef Link link
    if not known(domain):
        return accept_unknown(sock)
    link = Link()       # before there is a descriptor that could be lost
    if _fd_is_found and is_true_socket(sock):
        fd = hasten_socket_fd(sock)     # it may have been closed
    got = hasten_accept(fd, &a, &n)
    if got < 0:
        if errno == EAGAIN or errno == EINTR:
            return None
        PyErr_SetFromErrno(OSError)
    link.fd = got
    link.owned = True
    link.domain = domain
    if n > 0:
        link.peer = PyBytes_FromStringAndSize(<char *>&a, n if n < sizeof(a) else sizeof(a))
    return link


cdef Link accept_unknown(object sock):
    cdef Link link
    try:
        made, address = sock.accept()
    except (BlockingIOError, InterruptedError):
        return None
    try:
        made.setblocking(False)
        link = hold(made)
    except BaseException:
        made.close()
        raise
    link.peer = address
    link.peer_shown = True
    return link
