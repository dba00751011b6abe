cimport cython
cimport hasten.core.ready as ready
from hasten.core.ready cimport Ready
cimport hasten.kernel.step as step
from hasten.kernel.step cimport Outcome, Step
from hasten.core.timers cimport Timers

cdef class Handle:
    cdef readonly object _callback          # None once cancelled
    cdef object args                        # a tuple, or the future that is the only one, which needs no memory;
                                            # None once cancelled; of a future's callback, until that is done
    cdef object context                     # None while it runs in one that is shared
    cdef bint shared                        # it is a snapshot: see kernel/contexts.h
    cdef readonly object _loop
    cdef readonly object _source_traceback  # where it was made, and once cancelled, the repr: debug mode only
    cdef readonly bint _cancelled
    cdef object __weakref__

    @cython.locals(out=Outcome)
    cdef int run(self, Step st) except -1
    cdef object own_context(self)
    cdef int drop(self) except -1
    cdef int failed(self, object exc) except -1

cdef class TimerHandle(Handle):
    cdef double due                         # on the loop's clock, seconds
    cdef bint whole                         # that was given as an int, and is shown as one
    cdef public bint _scheduled             # in the heap
    cdef Timers timers                      # the heap that it is in, None on another's loop

@cython.locals(h=Handle)
cdef Handle prepare(object loop, object callback, object context)

@cython.locals(h=Handle)
cdef Handle post(object loop, Ready queue, object callback, tuple args, object context)

@cython.locals(h=TimerHandle)
cdef TimerHandle post_at(object loop, Timers timers, double when, object callback, tuple args, object context)

@cython.locals(i=size_t, n=size_t)
cdef int sweep(Timers timers) except -1

@cython.locals(number=double)
cdef double seconds(object value, str method, str what) except? -2.0

cdef int disarm(TimerHandle timer) except -1
