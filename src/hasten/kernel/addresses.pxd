cdef extern from "addresses.h":
    ctypedef unsigned int socklen_t
    ctypedef struct hasten_address:
        pass
    int AF_INET, AF_INET6, AF_UNIX

cdef bint known(int family) noexcept
cdef bytes raw(hasten_address *address, socklen_t n)
cdef bytes name_of(int fd, bint of_peer)
cdef object shown(bytes address)
cdef bytes packed(int family, object address)

cdef inline bint internet(int family) noexcept:
    """True for IPv4 and IPv6."""
    return family == AF_INET or family == AF_INET6
