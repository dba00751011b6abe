"""A connected socket as a transport holds it. The plain twin is socket_channel.py.

An accepted connection is a file descriptor and the peer's address as the kernel gave it. An object of the socket module,
and addresses as Python shows them, are made when they are asked for.
"""
import socket as socket_module
from _socket import socket as _Base

from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport EAGAIN, EINTR, errno
cimport hasten.kernel.addresses as addresses
cimport hasten.kernel.buffers as buffers
cimport hasten.kernel.socket_calls as socket_calls
from hasten.kernel.addresses cimport AF_UNIX, hasten_address, socklen_t
from hasten.kernel.channel cimport iovec
from hasten.kernel.step cimport is_instance
from hasten.kernel.workshop cimport CHUNK

cdef extern from "socketfd.h":
    int hasten_socket_proto(object sock) noexcept

cdef extern from *:
    """
    #include <fcntl.h>
    #include <netinet/in.h>
    #include <sys/socket.h>
    #include <sys/uio.h>
    #include "syscalls.h"
    static ssize_t hasten_sendv(int fd, struct iovec *iov, int n) {
        struct msghdr m = {0};
        m.msg_iov = iov;
        m.msg_iovlen = n;
        return hasten_sys_sendmsg(fd, &m, 0);
    }
    /* Descriptors that come with the data are dropped, but the data behind them is left for the next call: `cut`. */
    static ssize_t hasten_recv_local(int fd, void *buf, size_t n, int *cut) {
        struct iovec iov = {buf, n};
        struct msghdr m = {0};
        m.msg_iov = &iov;
        m.msg_iovlen = 1;
        ssize_t got = hasten_sys_recvmsg(fd, &m, 0);
        *cut = got > 0 && (m.msg_flags & MSG_CTRUNC) != 0;
        return got;
    }
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
    """
    int IPPROTO_TCP
    int SHUT_WR
    Py_ssize_t hasten_sys_recv(int fd, void *to, size_t n) nogil
    Py_ssize_t hasten_sys_send(int fd, const void *from_, size_t n) nogil
    Py_ssize_t hasten_recv_local(int fd, void *buf, size_t n, int *cut) nogil
    Py_ssize_t hasten_sendv(int fd, iovec *iov, int n) nogil
    int hasten_accept(int fd, hasten_address *a, socklen_t *n) nogil
    int c_shutdown "shutdown"(int fd, int how) nogil

cdef object _socket = socket_module.socket      # the true one, whatever is put there later
cdef object _true_accept = socket_module.socket.accept
cdef object _STREAM = int(socket_module.SOCK_STREAM)
cdef object _close = _Base.close
cdef object _family_of = _Base.family.__get__     # without the enum that socket.socket makes of it


cdef bint fd_is_found():
    """True if the descriptor is where hasten_socket_fd() looks for it."""
    try:
        one, other = socket_module.socketpair()
    except OSError:
        return False
    with one, other:
        return hasten_socket_fd(one) == one.fileno() and hasten_socket_fd(other) == other.fileno()


cdef bint _fd_is_found = fd_is_found()
# The methods of a socket that a transport calls. Where the program has set methods of its own, those are called.
cdef tuple _METHODS = ("recv", "recv_into", "recvmsg", "recvmsg_into", "send", "sendmsg", "shutdown")


cdef bint is_true_socket(object sock) noexcept:
    """True for an object of the socket module, whatever its `__class__` says."""
    return is_instance(sock, _Base)


cdef bint has_own_methods(object sock, tuple methods) except -1:
    """True if the program has set one of the methods, on the object or its class."""
    kind = type(sock)
    if kind is _socket or kind is _Base:
        return False
    own = getattr(sock, "__dict__", ())
    for name in methods:
        if name in own or getattr(kind, name, None) is not getattr(_Base, name, None):
            return True
    return False


cdef class SocketChannel(Channel):
    cdef Py_ssize_t receive(self, void *buf, Py_ssize_t room, int *cut) noexcept:
        cdef Py_ssize_t n
        if self.manner == LOCAL:
            return hasten_recv_local(self.descriptor(), buf, room, cut)
        n = hasten_sys_recv(self.descriptor(), buf, room)
        cut[0] = self.manner == MESSAGES and n > 0
        return n

    cdef bint read_by_level(self, bint level) noexcept:
        """Have a unix socket read by recv(2), which is cheaper, where the poller tells of what a read has left behind."""
        if self.family != AF_UNIX:
            return False
        self.manner = WHOLE if level else LOCAL
        return True

    cdef Py_ssize_t transmit(self, const char *start, Py_ssize_t n) noexcept:
        return hasten_sys_send(self.descriptor(), start, n)

    cdef Py_ssize_t transmit_many(self, iovec *pieces, int n) noexcept:
        return hasten_sendv(self.descriptor(), pieces, n)

    cdef object send_file(self, object fd, object offset, object count):
        n = socket_calls.send_file(self.descriptor(), fd, offset, count)
        self.workshop.was_sent(<Py_ssize_t>n)
        return n

    cdef bint internet(self) noexcept:
        return addresses.internet(self.family)

    cpdef object socket(self):
        """Return the socket.socket, which owns the descriptor from then on."""
        if self.made is not None:
            return self.made
        if not self.owned:
            new = _socket(self.family, _STREAM)
            new.close()
        else:
            new = _socket(self.family, _STREAM, -1, self.fd)
            if not self.owned or self.made is not None:     # Python ran: another call was faster
                new.detach()
                return self.socket()
            self.owned = False
            self.true_socket = _fd_is_found
        self.made = new
        if self.fd >= 0:
            new.setblocking(False)
        return new

    cdef int close(self) except -1:
        made = self.made
        if self.owned or made is None:
            return Channel.close(self)
        self.fd = -1
        return close_object(made)

    cdef int shut_writing(self) except -1:
        if c_shutdown(self.descriptor(), SHUT_WR):
            PyErr_SetFromErrno(OSError)
        return 0

    cdef object told(self, object name):
        if name == "peername":
            return self.peername()
        if name == "sockname":
            return self.sockname()
        return self.socket() if name == "socket" else None

    cdef int note_end(self) except -1:
        if self.fd >= 0 and self.local is None:
            self.local = name_of(self, False, &self.local_shown)
        return 0

    cdef object sockname(self):
        """Return our address, or None."""
        self.note_end()
        if not self.local_shown and self.local is not None:
            self.local = addresses.shown(self.local)
            self.local_shown = True
        return self.local

    cdef object peername(self):
        """Return the peer's address, or None."""
        if not self.peer_shown and self.peer is not None:
            self.peer = addresses.shown(self.peer)
            self.peer_shown = True
        return self.peer


cdef class ForeignChannel(SocketChannel):
    """What has methods of its own to read and write with: these are called, whatever they do."""

    cdef bint read_by_level(self, bint level) noexcept:
        return False

    cdef Py_ssize_t fill(self) except -2:
        cdef Py_ssize_t n
        made, workshop = self.made, self.workshop
        borrowed = workshop.borrowed
        workshop.leave_room()       # what is called now may read from another channel
        data = None
        try:
            if borrowed is None:
                data = buffers.exact(made.recv(CHUNK))
                n = len(data)
            else:
                n = made.recv_into(borrowed)
        except (BlockingIOError, InterruptedError):
            return -1
        if self.fd < 0:     # closed meanwhile: there is nothing to report
            return -1
        if n < 0:
            raise ValueError(f"recv_into() of {made!r} gave {n}: a number of bytes was expected")
        workshop.received += n
        if n and borrowed is None:
            workshop.bring(data)
        self.full = True
        return n

    cdef bytes send(self, object data):
        cdef Py_ssize_t n, total = buffers.size(data)
        made = self.made
        try:
            n = made.send(data)
        except (BlockingIOError, InterruptedError):
            n = 0
        self.workshop.was_sent(check_sent(made, n, total))
        return None if n == total else buffers.exact(memoryview(data).cast("B")[n:])

    cdef bint send_whole(self, bytes data) noexcept:
        return False

    cdef Py_ssize_t outcome(self, bytes data) except -2:
        return self.send_from(data, 0)

    cdef Py_ssize_t send_from(self, bytes data, Py_ssize_t offset) except -2:
        cdef Py_ssize_t n
        made = self.made
        try:
            n = check_sent(made, made.send(memoryview(data)[offset:]), PyBytes_GET_SIZE(data) - offset)
        except (BlockingIOError, InterruptedError):
            return -1
        self.workshop.was_sent(n)
        return n

    cdef Py_ssize_t send_many(self, object items, Py_ssize_t offset) except -2:
        return self.send_from(items[0], offset)

    cdef int shut_writing(self) except -1:
        made = self.made
        made.shutdown(SHUT_WR)
        return 0


cdef Py_ssize_t check_sent(object made, Py_ssize_t n, Py_ssize_t total) except -2:
    if n < 0 or n > total:
        raise ValueError(f"send() of {made!r} gave {n}: the number of bytes that it took of {total} was expected")
    return n


cdef int close_object(object made) except -1:
    try:
        made.close()
    except MemoryError:     # its method is written in Python; the descriptor is closed nevertheless
        if not is_true_socket(made) or made._io_refs > 0:
            raise
        _close(made)
    except OSError:
        raise
    except BaseException:   # a Ctrl-C, before it had begun perhaps
        if is_true_socket(made) and made._io_refs <= 0:
            _close(made)
        raise
    return 0


cdef object name_of(SocketChannel channel, bint of_peer, unsigned char *shown):
    made = channel.made
    if addresses.known(channel.family) and not channel.unseen:
        shown[0] = False
        return addresses.name_of(channel.descriptor(), of_peer)
    shown[0] = True
    try:
        return made.getpeername() if of_peer else made.getsockname()
    except OSError:
        return None


cpdef SocketChannel hold(object sock):
    """Take over a connected nonblocking socket.socket, or what has its methods. Its owner closes it, or close()."""
    cdef SocketChannel channel
    channel = ForeignChannel() if not is_true_socket(sock) or has_own_methods(sock, _METHODS) else SocketChannel()
    take_over(channel, sock)
    channel.unseen = channel.at_once = type(channel) is ForeignChannel
    channel.peer = name_of(channel, True, &channel.peer_shown)
    return channel


cdef int manner_of(int family, bint messages) noexcept:
    if not addresses.internet(family):
        return LOCAL
    return MESSAGES if messages else WHOLE


cdef bint has_messages(object sock) noexcept:
    """True if a socket object says that it has another protocol than TCP."""
    return hasten_socket_proto(sock) != 0 and hasten_socket_proto(sock) != IPPROTO_TCP


cdef int take_over(SocketChannel channel, object sock) except -1:
    """Make a new channel one for the descriptor of a socket object."""
    cdef bint true_socket = is_true_socket(sock)
    channel.made = sock
    channel.family = _family_of(sock) if true_socket else int(sock.family)
    channel.true_socket = true_socket and _fd_is_found
    channel.manner = manner_of(channel.family, channel.true_socket and has_messages(sock))
    channel.fd = sock.fileno()
    return 0


cpdef object acceptor(object sock):
    """Return the socket.socket whose accept() `sock` uses: itself, or what a wrapper holds; None if it has its own."""
    if type(sock) is _socket:
        return sock
    method = sock.accept
    inner = getattr(method, "__self__", None)
    if getattr(method, "__func__", None) is not _true_accept or not is_true_socket(inner):
        return None
    return inner if inner is sock or inner.fileno() == sock.fileno() else None


cdef SocketChannel accept(object sock, int fd, int family):
    """Take the next connection of a listening socket, nonblocking; return None if there is none yet. Raises OSError."""
    cdef hasten_address a
    cdef socklen_t n = sizeof(a)
    cdef int got
    cdef bint messages = False
    cdef SocketChannel channel
    if not addresses.known(family):
        return accept_unknown(sock)
    channel = SocketChannel()       # before there is a descriptor that could be lost
    if _fd_is_found and is_true_socket(sock):
        fd = hasten_socket_fd(sock)     # it may have been closed
        messages = has_messages(sock)
    got = hasten_accept(fd, &a, &n)
    if got < 0:
        if errno == EAGAIN or errno == EINTR:
            return None
        PyErr_SetFromErrno(OSError)
    channel.fd = got
    channel.owned = True
    channel.family = family
    channel.manner = manner_of(family, messages)
    channel.peer = addresses.raw(&a, n)
    return channel


cdef SocketChannel accept_unknown(object sock):
    cdef SocketChannel channel
    try:
        made, address = sock.accept()
    except (BlockingIOError, InterruptedError):
        return None
    try:
        made.setblocking(False)
        channel = hold(made)
    except BaseException:
        made.close()
        raise
    channel.peer = address
    channel.peer_shown = True
    return channel
