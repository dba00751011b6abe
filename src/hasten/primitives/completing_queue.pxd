cimport cython
cimport hasten.kernel.step as step
cimport hasten.primitives.many_futures as many_futures
cimport hasten.primitives.spawning as spawning
cimport hasten.kernel.deques as deques
from hasten.primitives.many_futures cimport Collector
cimport hasten.core.outcomes as outcomes
from hasten.core.future cimport Future

cdef enum:
    TAKE = 0        # of ready()
    WAIT = 1
    OVER = 2

cdef class Arrivals(Collector):
    cdef object loop
    cdef object finished            # deque of futures that are done; None: the time is over
    cdef object waiters             # deque of those who wait for one, once there were any
    cdef Py_ssize_t left            # not handed out yet
    cdef Py_ssize_t todo            # children that we have not been told of
    cdef object timer
    cdef list children              # as long as there is a timer, or a future that is not ours
    cdef object waiting             # the task that the call graph shows

    cdef int put(self, object item) except -1
    cdef int wake_next(self) except -1
    cdef int start_timer(self, object timeout) except -1
    cdef int stop_timer(self) except -1
    @cython.locals(children=list, missing=Py_ssize_t)
    cdef int time_over(self) except -1
    @cython.locals(children=list)
    cdef int begin(self, object awaitables, object timeout) except -1
    cdef bint claim(self) except -1
    cdef int unclaim(self) except -1
    cdef int ready(self) except -1
    cdef object take(self)
    cdef object take_error(self)
    cdef bint is_asynchronous(self) except -1
    cdef int abandon(self) except -1
    cdef list unfinished(self)
