from hasten.kernel.channel cimport Channel

cdef class SocketChannel(Channel):
    cdef unsigned char true_socket      # `made` is an object of the socket module, and its descriptor can be read there
    cdef unsigned char peer_shown, local_shown      # these are as Python shows them; else as the kernel gave them
    cdef unsigned char messages         # a stream that is no TCP (SCTP): a read that is not full may not be the last
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
cdef bint is_true_socket(object sock) noexcept
cdef bint has_own_methods(object sock, tuple methods) except -1
cdef bint has_messages(object sock) noexcept
cdef int take_over(SocketChannel channel, object sock) except -1
cdef object name_of(SocketChannel channel, bint of_peer, unsigned char *shown)
