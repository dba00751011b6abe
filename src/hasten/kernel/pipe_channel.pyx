"""A pipe, or what else is read by read(2) and written by write(2), as a transport holds it. The twin is pipe_channel.py."""
import io
import os

from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport errno
from hasten.kernel import blocking
from hasten.kernel.channel cimport iovec

cdef extern from "socketfd.h":
    int hasten_fileio_fd "hasten_socket_fd"(object file) noexcept   # a FileIO begins as a socket does; see fd_is_found()

cdef extern from *:
    """
    #include <errno.h>
    #include <fcntl.h>
    #include <poll.h>
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
    int hasten_peer_gone(int fd) noexcept
    int hasten_fstat(int fd, unsigned int *kind, unsigned long long *links, unsigned long long *device,
                     unsigned long long *inode) noexcept
    int hasten_dup(int fd) noexcept
    int c_close "close"(int fd) noexcept

cdef object _file = io.FileIO
cdef object _text = io.TextIOWrapper
cdef tuple _buffered = (io.BufferedReader, io.BufferedWriter, io.BufferedRandom)


cdef bint fd_is_found():
    """True if a FileIO's descriptor is where hasten_fileio_fd() looks for it."""
    cdef int one, other
    try:
        one, other = os.pipe()
    except OSError:
        return False
    with io.FileIO(one, "r") as first, io.FileIO(other, "w") as second:
        return hasten_fileio_fd(first) == one and hasten_fileio_fd(second) == other


cdef bint _fd_is_found = fd_is_found()


cdef class PipeChannel(Channel):
    def __cinit__(self):
        self.second = -1

    def __dealloc__(self):
        if self.second >= 0:
            c_close(self.second)

    cdef int descriptor(self) noexcept:
        """Return the number for a system call; -1 once the file is closed, by this channel or by others."""
        return self.fd if self.file is None else hasten_fileio_fd(self.file)

    cdef Py_ssize_t receive(self, void *buf, Py_ssize_t room, int *cut) noexcept:
        return hasten_read(self.descriptor(), buf, room)

    cdef Py_ssize_t transmit(self, const char *start, Py_ssize_t n) noexcept:
        return hasten_write(self.descriptor(), start, n)

    cdef Py_ssize_t transmit_many(self, iovec *pieces, int n) noexcept:
        return hasten_writev(self.descriptor(), pieces, n)

    cdef int leave_blocking(self) except -1:
        """Make it nonblocking, until close(). Raises OSError."""
        self.mode = blocking.leave(self.fd, self.identity)
        return 0

    cdef int leave_alone(self) except -1:
        """Be closed, and let the file be as it was."""
        mode, self.mode = self.mode, None
        self.fd = -1
        if mode is not None:
            blocking.give_back(mode, True)
        return 0

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

    cdef int close(self) except -1:
        cdef int fd = self.fd, second = self.second
        mode, self.mode = self.mode, None
        self.fd = self.second = -1
        if second >= 0:
            c_close(second)
        if fd < 0:
            return 0
        made = self.made
        try:
            if mode is not None:
                blocking.give_back(mode, is_ours(made, self.file, fd))      # now, as close() may write what `made` has still buffered
        finally:
            made.close()
        return 0

    cdef object told(self, object name):
        return self.made if name == "pipe" else None


cdef bint is_ours(object made, object file, int fd) noexcept:
    """True unless `made` was closed by others: the number may stand for another file by now."""
    if file is not None:
        return hasten_fileio_fd(file) == fd
    try:
        return made.fileno() == fd
    except Exception:
        return False


cdef object file_in(object pipe):
    """Return the FileIO that does the system calls of a file object of the io module, or None."""
    if not _fd_is_found:
        return None
    if type(pipe) is _text:
        pipe = pipe.buffer
    if type(pipe) in _buffered:
        pipe = pipe.raw
    return pipe if type(pipe) is _file else None


cpdef PipeChannel hold(object pipe):
    """Take over an open file object. close() closes it. Raises what its fileno() raises, and OSError."""
    cdef PipeChannel channel = PipeChannel()
    cdef unsigned long long device, inode
    cdef int fd
    pipe.close      # what is no file object fails here, and not when it is to be closed
    fd = pipe.fileno()
    if hasten_fstat(fd, &channel.kind, &channel.links, &device, &inode):
        PyErr_SetFromErrno(OSError)
    channel.identity = (device, inode)
    channel.made = pipe
    channel.fd = fd
    channel.file = file_in(pipe)
    if hasten_fileio_fd(channel.file) != channel.fd:
        channel.file = None
    return channel
