cdef extern from "addresses.h":
    ctypedef unsigned int socklen_t
    ctypedef struct hasten_address:
        pass

cdef bint known(int family) noexcept
cdef bint internet(int family) noexcept
cdef bytes raw(hasten_address *address, socklen_t n)
cdef bytes name_of(int fd, bint of_peer)
cdef object shown(bytes address)
cdef bytes packed(int family, object address)
