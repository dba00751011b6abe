cimport cython
cimport hasten.primitives.completing_limited as completing_limited
cimport hasten.primitives.completing_queue as completing_queue
cimport hasten.core.native as native
cimport hasten.core.state as state
cimport hasten.kernel.deques as deques
cimport hasten.kernel.step as step
from hasten.primitives.completing_queue cimport Arrivals
from hasten.core.future cimport Future
from hasten.core.native cimport NativeCoroutine

@cython.final
cdef class AsCompleted:
    cdef Arrivals arrivals
    cdef object __weakref__

    @cython.locals(arrivals=Arrivals)
    cdef Arrivals check_synchronous(self)

@cython.final
cdef class Next(NativeCoroutine):
    cdef AsCompleted owner       # None once it has ended
    cdef bint resolve               # to give the result, not the future
    cdef bint claimed

    @cython.locals(owner=AsCompleted, arrivals=Arrivals, there=cython.int)
    cdef int go(self) except -2
    @cython.locals(f=Future)
    cdef int hand_out(self, object child) except -2
    cdef int over(self, Arrivals arrivals) except -2
    cdef int finish(self, object exc) except -2
