cimport cython
from hasten.kernel.epoll cimport Epoll
from hasten.poll.contract cimport Poller, Watch

@cython.final
cdef class EpollPoller(Poller):
    cdef Epoll queue
    cdef list table                     # fd -> Watch | None
    cdef unsigned int generations

    @cython.locals(before=Watch)
    cdef bint take_place(self, int fd) except -1
