cimport cython
cimport hasten.core.native as native
cimport hasten.core.task as tasks
cimport hasten.kernel.deques as deques
cimport hasten.kernel.step as step
from hasten.core.future cimport Future
from hasten.core.scheduler cimport Scheduler

cdef object _isfuture

cpdef bint isfuture(object obj) except -1
cpdef bint iscoroutine(object obj) except -1

@cython.locals(loop=Scheduler)
cdef object start(object running, object coro, object name, object context)
cdef object adopt(object awaitable, object loop)
cdef object adopt_in(object awaitable, object loop, object context)
cdef int check_awaitable(object awaitable) except -1
cdef int close(object awaitable) except -1
cdef object close_all(object awaitables)
