cimport cython
from hasten.core.probe cimport Observer
from hasten.core.ready cimport Ready
from hasten.core.scheduler cimport Scheduler
cimport hasten.kernel.step as step
from hasten.kernel.stalls cimport Watched

cdef class Watcher(Observer):
    cdef Watched watched
    cdef object report
    cdef readonly double awake      # since when, by time.monotonic(); 0: it sleeps, or does not run
    cdef public object sampled      # by a thread of Python: (since, 0.0, computed, of, moving, missed, samples), or None
    cdef public object thread       # that runs the loop, by threading.get_ident()

    @cython.locals(watched=Watched)
    cpdef bint watch(self, object loop, double threshold, double hang, bint here) except -1
    @cython.locals(watched=Watched)
    cdef int wakes(self, double now) except -1
    @cython.locals(watched=Watched, since=double)
    cdef int sleeps(self, object loop) except -1
    @cython.locals(watched=Watched, now=double)
    cdef int hand_on(self, object loop, double since) except -1
    @cython.locals(watched=Watched)
    cpdef loop_ends(self, object loop)
    cpdef poll_begins(self, object loop, double timeout)
    cpdef poll_ends(self, object loop, double now)

@cython.locals(ours=Scheduler, queue=Ready, now=double)
cpdef Py_ssize_t waiting(object loop) except -1
