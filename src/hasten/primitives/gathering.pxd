cimport cython
cimport hasten.primitives.many_futures as many_futures
cimport hasten.primitives.spawning as spawning
cimport hasten.core.outcomes as outcomes
cimport hasten.core.state as state
cimport hasten.kernel.deques as deques
cimport hasten.kernel.step as step
from hasten.primitives.many_futures cimport Collector
from hasten.core.future cimport Future

cdef class GatheringFuture(Collector):
    cdef list children
    cdef Py_ssize_t left            # children that are not done
    cdef bint return_exceptions
    cdef bint cancel_requested
    cdef list over                  # children that are done before gather() has returned; else None

    cdef bint do_cancel(self, object msg) except -1
    cdef bint cancel_children(self, object msg) except -1
    @cython.locals(f=Future)
    cdef int child_done(self, object child) except -1
    cdef int look_at(self, object child) except -1
    cdef int broken(self, object exc) except -1
    @cython.locals(f=Future)
    cdef object ending_of(self, object child)
    cdef int end(self, object child) except -1

@cython.locals(g=GatheringFuture, children=list, made=dict, over=list)
cdef object begin(tuple awaitables, bint return_exceptions)

@cython.final
cdef class LimitedGathering(GatheringFuture):
    cdef Py_ssize_t limit
    cdef dict running               # children that count, by id(): an __eq__ may be anything
    cdef object queued              # deque of awaitables that are not started
    cdef dict places                # by the awaitable
    cdef object context             # of gather()'s caller: each child runs in a copy

    cdef int refill(self) except -1
    cdef int drop(self) except -1

@cython.locals(g=LimitedGathering, over=list, run_already=list)
cdef object begin_limited(tuple awaitables, bint return_exceptions, Py_ssize_t limit)
