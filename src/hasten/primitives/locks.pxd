cimport cython
cimport hasten.core.native as native
cimport hasten.core.outcomes as outcomes
cimport hasten.core.state as state
cimport hasten.kernel.deques as deques
cimport hasten.kernel.step as step
from hasten.primitives.loop_bound cimport LoopBound
from hasten.core.future cimport Future
from hasten.core.native cimport NativeCoroutine

cdef bint nobody_waits(object waiters) except -1
cdef int leave(object waiters, Future fut) except -1

cdef class EnteredByLock(LoopBound):
    pass

cdef class Lock(LoopBound):
    cdef public object _waiters     # a deque, once there were any
    cdef public bint _locked

    cdef bint try_acquire(self) except -1
    cdef int free(self) except -1
    cdef int pass_on(self) except -1
    cdef int wake_first(self) except -1

@cython.final
cdef class LockAcquire(NativeCoroutine):
    cdef Lock lock
    cdef object result

cdef class Event(LoopBound):
    cdef public object _waiters     # a deque
    cdef public bint _value

@cython.final
cdef class EventWait(NativeCoroutine):
    cdef Event event

cdef class Semaphore(LoopBound):
    cdef public object _waiters     # a deque, once there were any
    cdef double free_places         # and not in transit to a waiter; whole, or infinite
    cdef double bound               # of a BoundedSemaphore; else infinite

    cdef bint try_acquire(self) except -1
    cdef int free(self) except -1
    cdef bint hand_over(self) except -1

cdef class BoundedSemaphore(Semaphore):
    pass

@cython.final
cdef class SemaphoreAcquire(NativeCoroutine):
    cdef Semaphore semaphore
    cdef object result

    @cython.locals(sem=Semaphore, fut=Future)
    cdef int go(self) except -1
