from hasten.kernel.channel cimport Channel

cdef extern from "socketfd.h":
    int hasten_socket_fd(object sock) noexcept

cdef enum Manner:       # of reading
    WHOLE = 0           # by recv(2): a read that does not fill the room has taken all there was, or the poller tells of the rest
    MESSAGES = 1        # by recv(2), of a stream that is no TCP (SCTP): such a read may not be the last
    LOCAL = 2           # by recvmsg(2): it tells whether descriptors that came with the data have ended the read

cdef class SocketChannel(Channel):
    cdef unsigned char true_socket      # `made` is an object of the socket module, and its descriptor can be read there
    cdef unsigned char peer_shown, local_shown      # these are as Python shows them; else as the kernel gave them
    cdef unsigned char manner           # how it is read: a Manner
    cdef readonly int family
    cdef object made                    # the socket.socket, once there is one; the descriptor is then its own
    cdef object peer, local             # addresses

    cdef inline int descriptor(self) noexcept:
        """Return the number for a system call; -1 once the socket is closed, by this channel or by others."""
        return hasten_socket_fd(self.made) if self.true_socket else self.fd
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
cdef int manner_of(int family, bint messages) noexcept
cdef bint has_messages(object sock) noexcept
cdef int take_over(SocketChannel channel, object sock) except -1
cdef object name_of(SocketChannel channel, bint of_peer, unsigned char *shown)
