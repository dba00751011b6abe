from hasten.kernel.channel cimport Channel

cdef class SocketChannel(Channel):
    cdef unsigned char true_socket      # `made` is an object of the socket module, and its descriptor can be read there
    cdef unsigned char peer_shown, local_shown      # these are as Python shows them; else as the kernel gave them
    cdef readonly int family
    cdef object made                    # the socket.socket, once there is one; the descriptor is then its own
    cdef object peer, local             # addresses

    cdef int descriptor(self) noexcept
    cdef object peername(self)
    cdef object sockname(self)
    cpdef object socket(self)

cdef class ForeignChannel(SocketChannel):
    pass

cpdef SocketChannel hold(object sock)
cdef SocketChannel accept(object sock, int fd, int family)
cpdef object acceptor(object sock)
