cimport cython
cimport hasten.kernel.step as step
from hasten.poll.contract cimport Poller, Watch

cdef int BUSY

@cython.final
cdef class VirtualPoller(Poller):
    cdef Poller inner                   # watches the descriptors
    cdef public object guide            # says what may not be jumped over; None: jump whenever nothing is ready
    cdef readonly double time           # seconds; what now() returns
    cdef unsigned long long batches     # since the loop slept
    cdef double looked                  # by the real clock: when drift() did

    cdef int doze(self, double seconds) except -1
    @cython.locals(now=double)
    cdef int drift(self) except -1
    @cython.locals(then=double)
    cdef int jump(self, double seconds) except -1
