cimport cython
cimport hasten.kernel.step as step
from hasten.poll.contract cimport Poller, Watch

@cython.final
cdef class VirtualPoller(Poller):
    cdef Poller inner                   # watches the descriptors
    cdef public object guide            # says what may not be jumped over; None: jump whenever nothing is ready
    cdef readonly double time           # seconds; what now() returns

    cdef int doze(self, double seconds) except -1
    @cython.locals(then=double)
    cdef int jump(self, double seconds) except -1
