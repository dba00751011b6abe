cimport cython
cimport hasten.core.handle as handles
cimport hasten.core.native as native
cimport hasten.core.ready as ready
cimport hasten.kernel.step as step
from cpython.object cimport PyObject
from hasten.core.handle cimport TimerHandle
from hasten.core.native cimport NativeCoroutine
from hasten.core.scheduler cimport Scheduler
from hasten.core.task cimport Task
from hasten.kernel.step cimport Step

cdef enum:
    CREATED = 0
    ACTIVE = 1
    EXPIRING = 2
    EXPIRED = 3
    FINISHED = 4

cdef class Timeout:
    cdef PyObject *attributes       # stands first: see step.lazy_attributes()
    cdef int state                  # CREATED to FINISHED
    cdef object _when               # as given, or None
    cdef object _handle             # what will call _on_timeout(), or None
    cdef object _task               # that runs the block
    cdef int _cancelling            # requests to cancel it that were there before us
    cdef object __weakref__

    cdef int enter(self) except -1
    cdef object leave(self, object exc)
    @cython.locals(loop=Scheduler, seconds=double)
    cdef int arm(self, object when) except -1
    @cython.locals(timer=Deadline)
    cdef int arm_here(self, Scheduler loop, double when) except -1
    cdef int disarm(self) except -1
    cdef int expire(self) except -1
    cdef bint uncancel(self) except -1

@cython.final
cdef class Deadline(TimerHandle):
    cdef Timeout owner              # None once it has run

@cython.final
cdef class Entering(NativeCoroutine):
    cdef Timeout timeout

@cython.final
cdef class Raising(NativeCoroutine):
    cdef object exception

@cython.locals(t=Timeout)
cdef Timeout limit(object delay)
cdef object deadline(object delay)
