cimport cython
cimport hasten.kernel.deques as deques
from hasten.kernel.channel cimport Channel

cdef class Outbox:
    cdef object pieces                      # deque of bytes; None: there was nothing yet
    cdef Py_ssize_t offset                  # of the first piece: so much of it is sent already
    cdef Py_ssize_t size                    # bytes that wait
    cdef Py_ssize_t high, low               # water marks
    cdef bint paused                        # it was over the high one, and not at the low one since

    cdef int put(self, bytes piece) except -1
    @cython.locals(n=Py_ssize_t)
    cdef int flush(self, Channel channel) except -1
    @cython.locals(first=bytes, left=Py_ssize_t)
    cdef int consume(self, Py_ssize_t n) except -1
    cdef int clear(self) except -1
    cdef int set_limits(self, object high, object low) except -1
    cdef bint overflows(self) noexcept
    cdef bint is_low_again(self) noexcept
