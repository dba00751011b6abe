from hasten.kernel.workshop cimport TURN, Workshop

cdef extern from *:
    """
    #include <sys/types.h>
    #include <sys/uio.h>
    """
    ctypedef struct iovec "struct iovec":
        void *iov_base
        size_t iov_len

cdef class Channel:
    cdef readonly int fd                # -1: closed, or nothing yet
    cdef unsigned char owned            # the descriptor is ours to close
    cdef unsigned char unseen           # Python code reads and writes it: it may hold bytes of which the poller does not
                                        # report again, and may take less than there is room for
    cdef unsigned char at_once          # what is written is not put off: others write to the same file, or its own methods do
    cdef unsigned char full             # the latest fill() filled all the room: there may be more. It is set last: no other
                                        # code runs before it is looked at
    cdef Workshop workshop              # of the loop that the channel belongs to

    # Each kind of channel has its own form of these. Each is one system call, leaves its error in errno, and runs no Python.
    cdef Py_ssize_t receive(self, void *buf, Py_ssize_t room, int *cut) noexcept
    cdef Py_ssize_t transmit(self, const char *start, Py_ssize_t n) noexcept
    cdef Py_ssize_t transmit_many(self, iovec *pieces, int n) noexcept

    cdef bint read_by_level(self, bint level) noexcept
    cdef Py_ssize_t fill(self) except -2
    cdef bytes send(self, object data)
    cdef bytes rest(self, const char *start, Py_ssize_t n, Py_ssize_t sent, bytes whole)
    cdef bint send_whole(self, bytes data) noexcept
    cdef Py_ssize_t outcome(self, bytes data) except -2
    cdef Py_ssize_t send_from(self, bytes data, Py_ssize_t offset) except -2
    cdef Py_ssize_t send_many(self, object items, Py_ssize_t offset) except -2
    cdef object send_file(self, object fd, object offset, object count)
    cdef Py_ssize_t sent(self, Py_ssize_t n) except -2
    cdef int shut_writing(self) except -1
    cdef int close(self) except -1
    cdef bint internet(self) noexcept
    cdef object told(self, object name)
    cdef int note_end(self) except -1
    cdef inline int let_others_run(self) except -1:
        """Call Workshop.let_others_run(), where nothing depends on what was read before."""
        return self.workshop.let_others_run() if self.workshop._moved() >= TURN else 0
