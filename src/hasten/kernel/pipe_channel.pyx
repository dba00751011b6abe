"""A pipe, or what else is read by read(2) and written by write(2), as a transport holds it. The twin is pipe_channel.py."""
import io
import os
import socket

from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport errno
from hasten.kernel import blocking
from hasten.kernel.channel cimport iovec

cdef extern from "socketfd.h":
    int hasten_file_fd "hasten_socket_fd"(object file) noexcept     # a FileIO begins as a socket does; see fd_is_found()

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE     /* for O_DIRECT */
    #endif
    #include <errno.h>
    #include <fcntl.h>
    #include <poll.h>
    #include <sys/ioctl.h>
    #include <sys/stat.h>
    #include <unistd.h>
    #include "syscalls.h"
    #define HASTEN_MOST (1 << 30)   /* bytes: some systems refuse more, and none takes more at once */
    /* Tried again: a terminal refuses to write while a signal is to be handled. */
    static ssize_t hasten_read(int fd, void *to, size_t n) {
        HASTEN_TRY(ssize_t, hasten_sys_read(fd, to, n < HASTEN_MOST ? n : HASTEN_MOST));
    }
    static ssize_t hasten_write(int fd, const void *from, size_t n) {
        HASTEN_TRY(ssize_t, hasten_sys_write(fd, from, n < HASTEN_MOST ? n : HASTEN_MOST));
    }
    static ssize_t hasten_writev(int fd, const struct iovec *iov, int n) {
        if (n == 1)
            return hasten_write(fd, iov->iov_base, iov->iov_len);
        HASTEN_TRY(ssize_t, hasten_sys_writev(fd, iov, n));
    }
    /* Of a file that others have, too. One of them may have made it blocking, and a call that blocks would stop the loop, and
     * each thread, and Ctrl-C. Then it is asked what it is ready for, and is given what it takes for sure: a terminal that has
     * room has so much, and a pipe has more. Source: Linux, drivers/tty/tty_buffer.c, TTYB_ALIGN_MASK. */
    #define HASTEN_SURE 256
    static int hasten_blocks(int fd) {
        int flags = fcntl(fd, F_GETFL);
        return flags >= 0 && !(flags & O_NONBLOCK);
    }
    static ssize_t hasten_at_most(int fd, short events, ssize_t n) {
        struct pollfd one = {fd, events, 0};
        if (!hasten_blocks(fd))
            return n;
        if (poll(&one, 1, 0) <= 0) {
            errno = EAGAIN;
            return 0;
        }
        return n < HASTEN_SURE ? n : HASTEN_SURE;
    }
    static int hasten_peer_gone(int fd) {
    #ifdef POLLRDHUP
        struct pollfd one = {fd, POLLRDHUP, 0};
        return poll(&one, 1, 0) > 0;
    #else
        return 1;
    #endif
    }
    /* Not by os.fstat(), which some versions have give half of what it knows where there is no memory. */
    static int hasten_fstat(int fd, unsigned int *kind, unsigned long long *links, unsigned long long *device,
                            unsigned long long *inode) {
        struct stat found;
        if (fstat(fd, &found))
            return -1;
        *kind = found.st_mode;
        *links = found.st_nlink;
        *device = found.st_dev;
        *inode = found.st_ino;
        return 0;
    }
    static int hasten_keeps_apart(int fd) {
        int kind;
        socklen_t n = sizeof kind;
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &kind, &n) == 0)
            return kind != SOCK_STREAM;
    #ifdef O_DIRECT
        return (fcntl(fd, F_GETFL) & O_DIRECT) != 0;
    #else
        return 0;
    #endif
    }
    static int hasten_unblock(int fd) {
        int on = 1;
        return ioctl(fd, FIONBIO, &on);
    }
    static int hasten_dup(int fd) {
    #ifdef F_DUPFD_CLOEXEC
        return fcntl(fd, F_DUPFD_CLOEXEC, 3);
    #else
        int made = dup(fd);
        if (made >= 0)
            fcntl(made, F_SETFD, FD_CLOEXEC);
        return made;
    #endif
    }
    """
    Py_ssize_t hasten_read(int fd, void *to, size_t n) noexcept
    Py_ssize_t hasten_write(int fd, const void *from_, size_t n) noexcept
    Py_ssize_t hasten_writev(int fd, iovec *iov, int n) noexcept
    int hasten_blocks(int fd) noexcept
    Py_ssize_t hasten_at_most(int fd, short events, Py_ssize_t n) noexcept
    short POLLIN, POLLOUT
    int hasten_peer_gone(int fd) noexcept
    int hasten_fstat(int fd, unsigned int *kind, unsigned long long *links, unsigned long long *device,
                     unsigned long long *inode) noexcept
    int hasten_keeps_apart(int fd) noexcept
    int hasten_unblock(int fd) noexcept
    int hasten_dup(int fd) noexcept
    int c_close "close"(int fd) noexcept

cdef dict _in_use = blocking.in_use
cdef set _private = blocking.private_files
cdef tuple _files = (io.FileIO, socket.SocketType)      # with subclasses
cdef object _text = io.TextIOWrapper
cdef tuple _buffered = (io.BufferedReader, io.BufferedWriter, io.BufferedRandom)


cdef bint fd_is_found():
    """True if a FileIO's descriptor is where hasten_file_fd() looks for it. A socket's: see kernel/socket_channel."""
    cdef int one, other
    try:
        one, other = os.pipe()
    except OSError:
        return False
    with io.FileIO(one, "r") as first, io.FileIO(other, "w") as second:
        return hasten_file_fd(first) == one and hasten_file_fd(second) == other


cdef bint _fd_is_found = fd_is_found()


cdef class PipeChannel(Channel):
    def __cinit__(self):
        self.second = -1

    def __dealloc__(self):
        if self.second >= 0:
            c_close(self.second)

    cdef int descriptor(self) noexcept:
        """Return the number for a system call; -1 once the file is closed, by this channel or by others."""
        return self.fd if self.file is None else hasten_file_fd(self.file)

    cdef Py_ssize_t receive(self, void *buf, Py_ssize_t room, int *cut) noexcept:
        cdef int fd = self.descriptor()
        if self.shared and hasten_at_most(fd, POLLIN, room) == 0:
            return -1
        return hasten_read(fd, buf, room)

    cdef Py_ssize_t transmit(self, const char *start, Py_ssize_t n) noexcept:
        cdef int fd = self.descriptor()
        if self.shared:
            n = hasten_at_most(fd, POLLOUT, n)
            if n == 0:
                return -1
        return hasten_write(fd, start, n)

    cdef Py_ssize_t transmit_many(self, iovec *pieces, int n) noexcept:
        if self.shared and hasten_blocks(self.descriptor()):
            return self.transmit(<char *>pieces[0].iov_base, pieces[0].iov_len)
        return hasten_writev(self.descriptor(), pieces, n)

    cdef int leave_blocking(self) except -1:
        """Make it nonblocking, until close(). Raises OSError."""
        if self.private:
            if hasten_unblock(self.fd):
                PyErr_SetFromErrno(OSError)
            _private.add(self.identity)
            return 0
        self.mode = blocking.leave(self.fd, self.identity, id(self.made))
        return 0

    cdef int leave_alone(self) except -1:
        """Be closed, and let the file be as it was."""
        mode, self.mode = self.mode, None
        self.fd = -1
        if self.private:
            _private.discard(self.identity)
        if mode is not None:
            give_back(mode, True, False)
        return 0

    cdef bint is_alone(self) except -1:
        """True unless another transport uses the same file object."""
        if self.private:
            return self.identity not in _in_use
        return self.mode is None or (self.identity not in _private and blocking.is_alone(self.mode))

    cdef int another(self) except -1:
        """Return one more descriptor of the same open file. Raises OSError."""
        if self.second < 0:
            self.second = hasten_dup(self.descriptor())
            if self.second < 0:
                PyErr_SetFromErrno(OSError)
        return self.second

    cdef bint peer_gone(self) noexcept:
        """True if nobody can read any more what is written, as far as the platform tells."""
        return hasten_peer_gone(self.descriptor())

    cpdef bint stands_for_standard(self):
        """True if standard input, output or error is the same file."""
        cdef unsigned int kind
        cdef unsigned long long links, device = 0, inode = 0
        cdef int fd
        for fd in range(3):
            if not hasten_fstat(fd, &kind, &links, &device, &inode) and (device, inode) == self.identity:
                return True
        return False

    cpdef bint keeps_apart(self):
        """True if what one write gives is read by itself: of datagrams, and of packets in a pipe."""
        return hasten_keeps_apart(self.fd)

    cdef int close(self) except -1:
        cdef int fd = self.fd, second = self.second
        mode, self.mode = self.mode, None
        self.fd = self.second = -1
        if second >= 0:
            c_close(second)
        if fd < 0:
            return 0
        made = self.made
        if self.private:
            _private.discard(self.identity)
        try:
            if mode is not None:
                # now, as close() may write what `made` has still buffered
                give_back(mode, is_ours(made, self.file, fd), True)
        finally:
            made.close()
        return 0

    cdef object told(self, object name):
        return self.made if name == "pipe" else None


cdef int give_back(object mode, bint ours, bint closing) except -1:
    """End the nonblocking mode, also where a signal handler raises before that has begun."""
    try:
        blocking.give_back(mode, ours=ours, closing=closing)
    except BaseException:
        blocking.give_back(mode, ours=ours, closing=closing)
        raise
    return 0


cdef bint is_ours(object made, object file, int fd) noexcept:
    """True unless `made` was closed by others: the number may stand for another file by now."""
    if file is not None:
        return hasten_file_fd(file) == fd
    try:
        return made.fileno() == fd
    except Exception:
        return False


cdef object file_in(object pipe):
    """Return the object in which the descriptor of a file of the io module, or of a socket, can be read; or None."""
    if not _fd_is_found:
        return None
    if type(pipe) is _text:
        pipe = pipe.buffer
    if type(pipe) in _buffered:
        pipe = pipe.raw
    return pipe if issubclass(type(pipe), _files) else None     # not by isinstance(), which asks the object


cpdef PipeChannel hold(object pipe):
    """Take over an open file object. close() closes it. Raises what its fileno() raises, and OSError."""
    cdef PipeChannel channel = PipeChannel()
    cdef unsigned long long device = 0, inode = 0
    cdef int fd
    fd = pipe.fileno()
    pipe.close      # what is no file object fails here, and not when it is to be closed
    if hasten_fstat(fd, &channel.kind, &channel.links, &device, &inode):
        PyErr_SetFromErrno(OSError)
    channel.identity = (device, inode)
    channel.made = pipe
    channel.fd = fd
    channel.file = file_in(pipe)
    if hasten_file_fd(channel.file) != channel.fd:      # it has a fileno() of its own
        channel.file = None
    return channel
