from hasten.kernel.workshop cimport TURN, Workshop

cdef extern from *:
    """
    #include <sys/types.h>
    #include <sys/uio.h>
    """
    ctypedef struct iovec "struct iovec":
        void *iov_base
        size_t iov_len

cdef enum:
    NO_ROOM = -3        # of recv_into(): the buffer is empty

cdef class Channel:
    cdef readonly int fd                # -1: closed, or nothing yet
    cdef unsigned char owned            # the descriptor is ours to close
    cdef unsigned char unseen           # it is read and written by code of Python's, which may hold back what the poller
                                        # does not tell of again, or take less than there is room for
    # of the latest recv() or recv_into(), set when nothing runs any more before they are looked at
    cdef unsigned char full             # it gave as much as it could take: there may be more
    cdef Py_ssize_t lent                # room of the object that give_back() wants; 0: an ordinary one
    cdef Workshop workshop              # of the loop whose it is

    # What a kind of channel has of its own: a system call each, which leaves its error in errno. They run no Python.
    cdef Py_ssize_t receive(self, void *buf, Py_ssize_t room, int *cut) noexcept
    cdef Py_ssize_t transmit(self, const char *start, Py_ssize_t n) noexcept
    cdef Py_ssize_t transmit_many(self, iovec *pieces, int n) noexcept

    cdef object recv(self, Py_ssize_t expected)
    cdef object recv_large(self, Py_ssize_t expected)
    cdef Py_ssize_t recv_into(self, object buf) except -2
    cdef bytes send(self, object data)
    cdef bytes send_block(self, const char *start, Py_ssize_t n, bytes whole)
    cdef Py_ssize_t send_from(self, bytes data, Py_ssize_t offset) except -2
    cdef Py_ssize_t send_many(self, object items, Py_ssize_t offset) except -2
    cdef Py_ssize_t sent(self, Py_ssize_t n) except -2
    cdef int shut_writing(self) except -1
    cdef int close(self) except -1
    cdef bint internet(self) noexcept
    cdef object told(self, object name)
    cdef int note_end(self) except -1
    cdef inline int give_back(self, bytes data, Py_ssize_t room) noexcept:
        """The protocol has seen what recv() gave, with `lent` = room."""
        return self.workshop.give_back(data, room)
    cdef inline int let_others_run(self) except -1:
        """See Workshop: to be called where nothing depends on what was looked at before."""
        return self.workshop.let_others_run() if self.workshop.moved >= TURN else 0
