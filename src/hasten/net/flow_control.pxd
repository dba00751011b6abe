cimport cython
cimport hasten.poll.events as ev
from hasten.net.receiver cimport Receiver
from hasten.poll.contract cimport Poller

cdef class WaterMarks:
    cdef Py_ssize_t size                    # bytes that wait
    cdef Py_ssize_t high, low
    cdef bint paused                        # it was over the high mark, and not at the low one since

    cdef int set_limits(self, object high, object low) except -1
    cdef bint overflows(self) noexcept
    cdef bint is_low_again(self) noexcept

cdef class FlowControl(Receiver):
    cdef WaterMarks marks(self)
    cdef WaterMarks own_marks(self)
    @cython.locals(poller=Poller)
    cdef int retry_later(self) except -1
    @cython.locals(marks=WaterMarks)
    cdef int pause_if_full(self) except -1
    @cython.locals(marks=WaterMarks)
    cdef int resume_if_drained(self) except -1
