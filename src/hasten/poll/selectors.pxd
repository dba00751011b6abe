cimport cython
cimport hasten.poll.events as ev
from hasten.poll.contract cimport Poller, Watch

@cython.final
cdef class SelectorsPoller(Poller):
    cdef object selector
    cdef dict watches                   # fd -> Watch
    cdef list ripe                      # (Watch, events) of reports that take() has not handed over yet, the next one last
    cdef dict armed                     # fd -> events that the selector looks for now
    cdef object waker, woken            # the two ends of a socket pair; None once closed

    cdef int pid                        # of the process that made it

    @cython.locals(before=Watch)
    cdef int take_place(self, int fd) except -1
    cdef int forget(self, int fd) except -1
    cdef int refuse_child(self, int events) except -1
    cdef int arm(self, int fd, int events) except -1
    @cython.locals(watch=Watch)
    cdef int fire(self, int fd, int events) except -1
