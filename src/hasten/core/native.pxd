cimport cython
cimport hasten.core.future as futures
cimport hasten.core.state as state
cimport hasten.kernel.step as step
from hasten.core.future cimport Future
from hasten.core.scheduler cimport Scheduler
from hasten.kernel.step cimport Awaitable

cdef class NativeCoroutine(Awaitable):
    cdef Future future
    cdef object __weakref__

    cdef int start(self) except -2
    cdef int woken(self) except -2
    cdef int failed(self, object exc) except -2
    cdef int suspend(self, Future fut) except -2
    cdef int give(self, object value) except -2
    cdef int fail(self, object exc) except -2
    @cython.locals(f=Future)
    cdef int resume(self) except -2
    @cython.locals(kind=cython.int)
    cdef int shut(self) except -2

@cython.final
cdef class Nothing(NativeCoroutine):
    pass

cdef Nothing nothing

cdef bint is_ending(object exc) noexcept

cdef object running()
@cython.locals(ours=Scheduler)
cdef Future new_waiter(object loop)
