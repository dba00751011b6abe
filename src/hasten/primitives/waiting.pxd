cimport cython
cimport hasten.primitives.many_futures as many_futures
cimport hasten.primitives.nested as nested
cimport hasten.primitives.timeouts as timeouts
cimport hasten.core.native as native
cimport hasten.core.outcomes as outcomes
cimport hasten.core.state as state
cimport hasten.kernel.step as step
from hasten.primitives.many_futures cimport Collector
from hasten.primitives.nested cimport Driver
from hasten.primitives.timeouts cimport Timeout
from hasten.core.future cimport Future
from hasten.core.native cimport NativeCoroutine

cdef enum:
    FIRST_DONE = 0
    FIRST_FAILED = 1
    ALL_DONE = 2

@cython.final
cdef class Countdown(Collector):
    cdef Py_ssize_t left            # callbacks that have not come yet
    cdef int mode                   # of wait()'s return_when
    cdef Future target              # gets a result when the waiting is over
    cdef object timer
    cdef list over                  # children that were done when the waiting began
    cdef object error               # that a child has raised when it was asked

    @cython.locals(target=Future)
    cdef int release_target(self) except -1

@cython.final
cdef class Wait(NativeCoroutine):
    cdef object given               # what wait() was called with
    cdef object timeout
    cdef object return_when
    cdef set futures
    cdef Countdown countdown
    cdef object waiter              # the task that waits
    cdef bint foreign               # there are futures that are not ours

    @cython.locals(c=Countdown)
    cdef int begin(self) except -2
    cdef int check(self) except -1
    cdef int hook(self, Countdown c, object loop) except -1
    @cython.locals(c=Countdown)
    cdef object unhook(self)

@cython.final
cdef class WaitFor(Driver):
    cdef object awaitable
    cdef object timeout             # as given
    cdef Timeout limit
    cdef object ended               # the future that is being cancelled, when the time was up from the start
    cdef Countdown countdown

    @cython.locals(limit=Timeout)
    cdef int begin(self) except -2
    @cython.locals(c=Countdown)
    cdef int at_once(self) except -2
    @cython.locals(c=Countdown)
    cdef object let_go(self)
    @cython.locals(limit=Timeout)
    cdef int go(self, int kind) except -2

cdef int mode_of(object return_when) except -1
