cimport cython
cimport hasten.core.future as futures
cimport hasten.core.handle as handle
cimport hasten.core.outcomes as outcomes
cimport hasten.core.state as state
cimport hasten.kernel.step as step
from hasten.core.future cimport Future
from hasten.core.handle cimport TimerHandle
from hasten.core.scheduler cimport Scheduler
from hasten.kernel.step cimport Awaitable

cdef enum:
    PASSED = 1      # stages of a Sleep, beside FRESH and ENDED
    TIMED = 3

@cython.final
cdef class Sleep(Awaitable):
    cdef object delay           # as given
    cdef object result
    cdef Future future          # what is waited for
    cdef TimerHandle timer
    cdef object foreign_timer   # in its place on a loop that is not ours
    cdef object __weakref__

    @cython.locals(over=cython.bint, seconds=double)
    cdef int start(self) except -2
    @cython.locals(loop=Scheduler, seconds=double)
    cdef int start_timer(self, object running, double seconds) except -2
    cdef int start_elsewhere(self, double seconds) except -2
    cdef int give(self) except -2
    cdef int suspend(self) except -2
    @cython.locals(timer=TimerHandle)
    cdef int drop_timer(self) except -1
    cdef int fail(self, object exc) except -2

@cython.locals(spare=Awaitable)
cdef Sleep new_sleep()
