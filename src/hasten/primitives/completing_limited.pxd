cimport cython
cimport hasten.primitives.completing_queue as completing_queue
cimport hasten.primitives.many_futures as many_futures
cimport hasten.primitives.spawning as spawning
cimport hasten.core.outcomes as outcomes
cimport hasten.core.native as native
cimport hasten.kernel.deques as deques
from hasten.primitives.completing_queue cimport Arrivals
from hasten.core.future cimport Future

@cython.final
cdef class Bounded(Arrivals):
    cdef Py_ssize_t limit
    cdef object source              # an iterator, None once it has ended
    cdef bint asynchronous
    cdef bint finite                # it is a list or the like
    cdef object feeder              # the task that reads an asynchronous source
    cdef Future wanted              # the feeder waits for it: for room
    cdef dict flying                # by id(), as an __eq__ may be anything: (child, did we make it?)
    cdef object queued              # deque of what was read ahead, and is not started
    cdef Py_ssize_t claimed         # handed out, not taken yet
    cdef object drawn               # what draw() has read
    cdef object error               # of the source
    cdef bint called_off
    cdef list ending                # what was called off

    cdef Py_ssize_t coming(self) except -1
    cdef bint has_room(self) except -1
    cdef bint exhausted(self) except -1
    cdef bint draw(self) except -1
    cdef bint start(self, object awaitable) except -1
    cdef bint refused(self, object child, object exc) except -1
    cdef int drop_source(self) except -1
    cdef int refill(self) except -1
    cdef bint finish_or_fail(self) except -1
    cdef int wake_all(self) except -1
    @cython.locals(flying=dict, failures=list)
    cdef int call_off(self) except -1

@cython.locals(b=Bounded)
cdef Arrivals bounded(object source, object timeout, object limit)
