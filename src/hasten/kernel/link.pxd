cdef class Link:
    cdef readonly int fd            # -1: closed, or nothing yet
    cdef readonly int domain
    cdef object made                # the socket.socket, once there is one
    cdef object peer, local         # addresses: as the kernel gave them (bytes), or as Python shows them
    cdef bint peer_shown, local_shown

    cdef bint internet(self) noexcept
    cdef int close(self) except -1
    cdef int shut_writing(self) except -1
    cdef int note_sockname(self) except -1
    cdef object peername(self)
    cdef object sockname(self)
    cpdef object socket(self)

cpdef Link hold(object sock)
cdef Link accept(object sock, int fd, int domain)
