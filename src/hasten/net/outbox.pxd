cimport cython
cimport hasten.kernel.deques as deques
from hasten.kernel.channel cimport Channel
from hasten.net.flow_control cimport WaterMarks

cdef class Outbox(WaterMarks):
    cdef object pieces                      # deque of bytes; None: there was nothing yet
    cdef Py_ssize_t offset                  # of the first piece: so much of it is sent already

    cdef int put(self, bytes piece) except -1
    @cython.locals(n=Py_ssize_t)
    cdef int flush(self, Channel channel) except -1
    @cython.locals(first=bytes, left=Py_ssize_t)
    cdef int consume(self, Py_ssize_t n) except -1
    cdef int clear(self) except -1
