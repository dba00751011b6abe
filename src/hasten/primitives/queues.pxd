cimport cython
cimport hasten.core.native as native
cimport hasten.core.outcomes as outcomes
cimport hasten.core.state as state
cimport hasten.kernel.deques as deques
cimport hasten.kernel.step as step
from hasten.primitives.loop_bound cimport LoopBound
from hasten.primitives.locks cimport Event
from hasten.core.future cimport Future
from hasten.core.native cimport NativeCoroutine
from hasten.kernel.step cimport Awaitable

cdef enum:
    DERIVED = 0     # with methods of its own, which are called
    FIFO = 1
    HEAP = 2
    LIFO = 3

cdef class Queue(LoopBound):
    cdef public object _maxsize             # as given
    cdef public object _getters             # deques of futures
    cdef public object _putters
    cdef public Py_ssize_t _unfinished_tasks    # items put, and not reported done
    cdef public object _finished            # an Event, set while there are none of these
    cdef public bint _is_shutdown
    cdef public object _queue
    cdef double limit                       # maxsize
    cdef int kind                           # DERIVED: a class of somebody else's
    cdef bint elsewhere                     # its _put() keeps items, but not in _queue: only qsize() knows how many

    cdef bint is_empty(self) except -1
    cdef bint is_full(self) except -1
    cdef int add(self, object item) except -1
    cdef int put_or_hand_on(self, object item) except -1
    cdef object take(self)
    cdef object get_or_hand_on(self)
    cdef int wake_next(self, object waiters) except -1
    cdef int wake_first(self, object waiters) except -1

cdef bint withdraw(Future waiter, object line) except -1

@cython.final
cdef class QueueGet(NativeCoroutine):
    cdef Queue queue

    cdef int take(self) except -2

@cython.final
cdef class QueuePut(NativeCoroutine):
    cdef Queue queue
    cdef object item

    cdef int add(self) except -2

@cython.locals(spare=Awaitable)
cdef QueueGet new_get()
@cython.locals(spare=Awaitable)
cdef QueuePut new_put()

cdef class PriorityQueue(Queue):
    pass

cdef class LifoQueue(Queue):
    pass

cdef int _unpush(list heap, object item) except -1
