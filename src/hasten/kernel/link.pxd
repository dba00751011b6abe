cdef extern from "socketfd.h":
    int hasten_socket_fd(object sock) noexcept

cdef class Link:
    cdef readonly int fd            # -1: closed, or nothing yet
    cdef readonly int domain
    cdef object made                # the socket.socket, once there is one
    cdef object peer, local         # addresses: as the kernel gave them (bytes), or as Python shows them
    cdef bint peer_shown, local_shown
    cdef bint owned                 # the descriptor is ours to close; else it is that of `made`
    cdef bint real                  # `made` is an object of the socket module, and its descriptor can be read there
    cdef bint foreign               # `made` has methods of its own to read and write with
    # of the latest recv() or recv_into() (see sockio), set when nothing runs any more before they are looked at
    cdef bint full                  # it gave as much as it could take: the socket may have more
    cdef Py_ssize_t lent            # room of the object that give_back() wants; 0: an ordinary one

    cdef bint internet(self) noexcept
    cdef int close(self) except -1
    cdef int shut_writing(self) except -1
    cdef int note_sockname(self) except -1
    cdef object peername(self)
    cdef object sockname(self)
    cpdef object socket(self)

cdef inline int descriptor(Link link) noexcept:
    """The number for a system call; -1 once closed, by whomever."""
    return hasten_socket_fd(link.made) if link.real else link.fd

cpdef Link hold(object sock)
cdef Link accept(object sock, int fd, int domain)
cpdef object acceptor(object sock)
