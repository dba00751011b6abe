from hasten.kernel.channel cimport Channel

cdef class PipeChannel(Channel):
    cdef object made                    # what was handed in: its close() closes the descriptor
    cdef object file                    # the FileIO in it, or the socket, in which its descriptor can be read; None: none
    cdef readonly unsigned int kind     # of file: st_mode, as fstat() gives it
    cdef readonly unsigned long long links      # how many names it has
    cdef public bint shared             # others have the same open file, and may have made it blocking since
    cdef public bint private            # nobody else has it: it is made nonblocking, and stays so
    cdef object identity                # device and inode
    cdef object mode                    # of kernel/blocking: it was made nonblocking; None: not yet, or no longer
    cdef int second                     # one more descriptor of the same, for a poller that knows the first; -1: none

    cdef int descriptor(self) noexcept
    cdef int leave_blocking(self) except -1
    cdef int leave_alone(self) except -1
    cdef bint is_alone(self) except -1
    cdef int another(self) except -1
    cdef bint peer_gone(self) noexcept
    cpdef bint stands_for_standard(self)
    cpdef bint keeps_apart(self)

cpdef PipeChannel hold(object pipe)
