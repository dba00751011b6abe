cimport cython
cimport hasten.aio.spawning as spawning
cimport hasten.core.state as state
cimport hasten.kernel.deques as deques
cimport hasten.kernel.step as step
from hasten.core.future cimport Future
from hasten.core.scheduler cimport Scheduler
from hasten.core.task cimport Task

cdef class Collector(Future):
    @cython.locals(f=Future)
    cdef int release(self, object child) except -1
    cdef int conclude(self, object exc) except -1
    cdef int shown_for(self, object waiter) except -1

cdef object adopt(object awaitable, object loop)
@cython.locals(f=Future)
cdef bint succeeded(object child) except -1
@cython.locals(turn=cython.bint)
cdef int chain(object raised, object handled) except -1
cdef int silence(object child) except -1
cdef bint pending(object child) except -1
cdef int close(object awaitable) except -1
cdef object close_all(object awaitables)
cdef bint ends_the_loop(object exc) noexcept
cdef Py_ssize_t check_limit(object limit) except -1
cdef object adopt_in(object awaitable, object loop, object context)
cdef int check_awaitable(object awaitable) except -1
cdef bint all_different(object items) except -1
