from hasten.kernel.channel cimport Channel

cdef class PipeChannel(Channel):
    cdef object made                    # what was handed in: its close() closes the descriptor
    cdef object file                    # the FileIO in it, in which its descriptor can be read; None: there is none
    cdef readonly unsigned int kind     # of file: st_mode, as fstat() gives it
    cdef readonly unsigned long long links      # how many names it has
    cdef object identity                # device and inode
    cdef object mode                    # of kernel/blocking: it was made nonblocking; None: not yet, or no longer
    cdef int second                     # one more descriptor of the same, for a poller that knows the first; -1: none

    cdef int descriptor(self) noexcept
    cdef int leave_blocking(self) except -1
    cdef int leave_alone(self) except -1
    cdef int another(self) except -1
    cdef bint peer_gone(self) noexcept

cpdef PipeChannel hold(object pipe)
