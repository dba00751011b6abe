"""What is read and written without blocking, by one file descriptor. The plain twin is channel.py.

A Channel has what all kinds of descriptors have in common. The kinds derive from it and have system calls of their own;
those of the base fail, as on a closed descriptor. Between a system call and what is made of it nothing else runs: no
destructor, no `__release_buffer__`. What a call found out besides its result stands in the channel, and is set last.

The interpreter's lock is kept: the calls do not block, and giving the lock away costs as much as a small recv.
"""
cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from cpython.sequence cimport PySequence_GetItem
from libc.errno cimport EAGAIN, EBADF, ECONNRESET, EINTR, errno
from hasten.kernel.workshop cimport Workshop

cdef extern from *:
    """
    #include <errno.h>
    #include <unistd.h>
    static inline void hasten_errno_set(int e) { errno = e; }
    """
    void errno_set "hasten_errno_set"(int e) noexcept
    int c_close "close"(int fd) nogil

cdef enum:
    MANY = 64           # pieces in one system call

cdef Workshop _OF_NO_LOOP = Workshop()     # until a channel is given to a loop


cdef inline bint would_block() noexcept:
    return errno == EAGAIN or errno == EINTR    # EWOULDBLOCK is EAGAIN wherever this is compiled


# The collector leaves its workshop alone, which is part of no circle: what it takes apart may still be written to.
@cython.no_gc_clear
cdef class Channel:
    def __cinit__(self):
        self.fd = -1
        self.workshop = _OF_NO_LOOP

    def __dealloc__(self):
        if self.owned:      # a flag: the collector may have taken every Python object of it away by now
            c_close(self.fd)

    def fileno(self):
        """The file descriptor; -1 once closed."""
        return self.fd

    # ---- the system calls -----------------------------------------------------------------

    cdef Py_ssize_t receive(self, void *buf, Py_ssize_t room, int *cut) noexcept:
        """Receive at most `room` bytes. Sets `cut` if there is more although the room was not filled."""
        errno_set(EBADF)
        return -1

    cdef Py_ssize_t transmit(self, const char *start, Py_ssize_t n) noexcept:
        errno_set(EBADF)
        return -1

    cdef Py_ssize_t transmit_many(self, iovec *pieces, int n) noexcept:
        errno_set(EBADF)
        return -1

    # ---- reading --------------------------------------------------------------------------

    cdef bint read_by_level(self, bint level) noexcept:
        """Say whether the poller reports as long as there is something to read, and not only when more comes.

        False: that makes no difference here. See SocketChannel.
        """
        return False

    cdef Py_ssize_t fill(self) except -2:
        """Read once into the room that was made in the loop's workshop. Raises OSError.

        Returns the number of bytes, 0 at the end, -1 if it would block.
        """
        cdef Workshop workshop = self.workshop
        cdef Py_ssize_t n, room = workshop.size
        cdef int cut = 0
        cdef int error
        n = self.receive(workshop.start, room, &cut)
        if workshop.was_plain(n):
            self.full = n == room or cut
            return n
        error = errno
        workshop.was_read(n)        # may run anything, unless there are bytes to be taken
        self.full = n == room or cut
        if n >= 0:
            return n
        errno_set(error)
        if would_block():
            return -1
        PyErr_SetFromErrno(OSError)
        return -2

    # ---- writing --------------------------------------------------------------------------

    cdef bytes send(self, object data):
        """Send what buffers.plain() returned; return what was not sent, or None. Raises OSError."""
        cdef Py_buffer view
        cdef Py_ssize_t n, sent
        if PyBytes_CheckExact(data):
            n = PyBytes_GET_SIZE(data)
            sent = self.transmit(PyBytes_AS_STRING(data), n)
            if sent != n:
                return self.rest(PyBytes_AS_STRING(data), n, sent, data)
            self.workshop.was_sent(n)
            return None
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            sent = self.transmit(<char *>view.buf, view.len)
            return self.rest(<char *>view.buf, view.len, sent, None)
        finally:
            PyBuffer_Release(&view)

    cdef bytes rest(self, const char *start, Py_ssize_t n, Py_ssize_t sent, bytes whole):
        """Return what is left of `n` bytes after `sent`, or None. `whole` is the bytes object that they are, if one."""
        sent = max(self.sent(sent), 0)
        if sent == n:
            return None
        if sent == 0 and whole is not None:
            return whole
        # what is left of bytes could be kept as they are, but they may be much longer
        return PyBytes_FromStringAndSize(start + sent, n - sent)

    cdef bint send_whole(self, bytes data) noexcept:
        """Send all of `data` with one system call. False: not all of it; then call outcome() at once. Runs no Python."""
        cdef Py_ssize_t n = PyBytes_GET_SIZE(data)
        cdef Py_ssize_t sent = self.transmit(PyBytes_AS_STRING(data), n)
        if sent == n:
            self.workshop.was_sent(n)
            return True
        self.workshop.error = errno
        self.workshop.short = sent
        return False

    cdef Py_ssize_t outcome(self, bytes data) except -2:
        """Return how many bytes send_whole() has sent, -1 if it would block. Raises OSError."""
        errno_set(self.workshop.error)
        return self.sent(self.workshop.short)

    cdef Py_ssize_t send_from(self, bytes data, Py_ssize_t offset) except -2:
        """Send what lies behind `offset`; return the number of bytes sent, -1 if it would block. Raises OSError."""
        cdef Py_ssize_t n = self.transmit(PyBytes_AS_STRING(data) + offset, PyBytes_GET_SIZE(data) - offset)
        return self.sent(n)

    cdef Py_ssize_t send_many(self, object items, Py_ssize_t offset) except -2:
        """Do as send_from(), for the first pieces (bytes) of a deque or list, in one system call."""
        cdef iovec pieces[MANY]
        cdef Py_ssize_t i, n = min(len(items), MANY)
        cdef bytes item
        # By index, since to make an iterator may run the collector. Nothing runs until they are sent, and the deque holds
        # them.
        for i in range(n):
            item = PySequence_GetItem(items, i)
            pieces[i].iov_base = <void *>(PyBytes_AS_STRING(item) + offset)
            pieces[i].iov_len = PyBytes_GET_SIZE(item) - offset
            offset = 0
        return self.sent(self.transmit_many(pieces, n))

    cdef object send_file(self, object fd, object offset, object count):
        """Have the kernel send of the file `fd`; return the number of bytes, 0 at the file's end. Raises OSError."""
        errno_set(EBADF)
        PyErr_SetFromErrno(OSError)

    cdef Py_ssize_t sent(self, Py_ssize_t n) except -2:
        if n >= 0:
            self.workshop.was_sent(n)
            return n
        if would_block():
            return -1
        PyErr_SetFromErrno(OSError)
        return -2

    # ---- the end --------------------------------------------------------------------------

    cdef int shut_writing(self) except -1:
        """Show the peer the end of what we sent. Raises OSError."""
        errno_set(EBADF)
        PyErr_SetFromErrno(OSError)
        return 0

    cdef int close(self) except -1:
        """Close the descriptor. It is closed even where this raises OSError."""
        cdef int fd = self.fd, failed
        cdef bint owned = self.owned
        self.fd = -1
        self.owned = False
        if owned:
            with nogil:     # it may linger
                failed = c_close(fd)
            if failed and errno != EINTR and errno != ECONNRESET:
                PyErr_SetFromErrno(OSError)
        return 0

    # ---- what it is -----------------------------------------------------------------------

    cdef bint internet(self) noexcept:
        """True for TCP, where the kernel reports room only after a write that fell short."""
        return False

    cdef object told(self, object name):
        """The value for get_extra_info(), or None."""
        return None

    cdef int note_end(self) except -1:
        """Keep what told() must still know after close()."""
        return 0
