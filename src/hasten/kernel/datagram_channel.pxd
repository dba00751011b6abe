cimport hasten.kernel.socket_channel as socket_channel
from hasten.kernel.channel cimport Channel
from hasten.kernel.socket_channel cimport SocketChannel

cdef class DatagramChannel(SocketChannel):
    cdef list met                       # addresses of peers, as the kernel and as Python has them; see meet()
    cdef list shown                     # the same, to be found by the tuple that Python has
    cdef int failure                    # the errno that post() met

    cdef Py_ssize_t collect(self, object arrived) except -2
    cdef object meet(self, const void *address, unsigned int n)
    cdef bytes packed(self, object address)
    cdef Py_ssize_t post(self, object letters) except -3
    cdef int raise_failure(self) except -1
    cdef bint post_by_method(self, bytes data, object address) except -1

cdef class ForeignDatagramChannel(DatagramChannel):
    pass

cpdef DatagramChannel hold(object sock)
