cimport cython
from hasten.kernel.epoll cimport Epoll
from hasten.poll.contract cimport Poller, Watch

@cython.final
cdef class EpollPoller(Poller):
    cdef Epoll queue
    cdef list table                     # fd -> Watch | None
    cdef unsigned int generations
    cdef bint stray                     # the latest poll had a report that is nobody's
    cdef int strays                     # polls before it in a row that had one

    @cython.locals(before=cython.uint)
    cdef int change(self, Watch watch, int events) except -1
    @cython.locals(queue=Epoll, watch=Watch)
    cdef int count_strays(self) except -1
    @cython.locals(fd=int, room=Py_ssize_t)
    cdef int make_room(self, Watch watch) except -1
    @cython.locals(before=Watch)
    cdef bint take_place(self, int fd) except -1
