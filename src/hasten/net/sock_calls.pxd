cimport cython
cimport hasten.core.fdwatch as fdwatch
cimport hasten.kernel.socket_calls as socket_calls
cimport hasten.kernel.step as step
cimport hasten.poll.events as ev
from hasten.core.fdwatch cimport FdWatch
from hasten.core.future cimport Future
from hasten.core.native cimport NativeCoroutine
from hasten.core.scheduler cimport Scheduler
from hasten.kernel.workshop cimport Workshop
from hasten.poll.contract cimport Poller

cdef object AGAIN

cdef class SockCall(NativeCoroutine):
    cdef Scheduler loop
    cdef object sock
    cdef object first, second       # what the method was given besides
    cdef FdWatch watch              # where it waits, or waited; None: nowhere yet
    cdef int event                  # what it waits for: READ or WRITE
    cdef bint plain                 # the socket's methods are the socket module's own, so it blocks only in the kernel

    cdef int prepare(self) except -1
    cdef object attempt(self)
    cdef int proceed(self, bint first) except -2
    cdef int park(self, bint anew) except -2
    cdef int leave(self) except -1
    cdef int finished(self, object result) except -2
    @cython.locals(poller=Poller)
    cdef int sent(self) except -1

cdef class SockRecv(SockCall):
    @cython.locals(sock=object, watch=FdWatch, room=Py_ssize_t, data=bytes)
    cdef object attempt(self)

cdef class SockRecvInto(SockCall):
    @cython.locals(n=Py_ssize_t)
    cdef object attempt(self)

@cython.final
cdef class SockRecvFrom(SockCall):
    pass

@cython.final
cdef class SockRecvFromInto(SockCall):
    pass

cdef class SockSendAll(SockCall):
    cdef Py_ssize_t done, size      # bytes

    @cython.locals(n=Py_ssize_t)
    cdef object attempt(self)

@cython.final
cdef class SockSendTo(SockCall):
    pass

@cython.final
cdef class SockAccept(SockCall):
    pass

@cython.final
cdef class SockReady(SockCall):
    cdef bint waited

cdef object made(SockCall call, object loop, object sock, int event, object first, object second)
