cimport cython
from hasten.kernel.workshop cimport Workshop

cdef enum:
    ROOM = 0        # what was being done when an error came: room()
    READ = 1        # the read itself
    ARRIVED = 2     # arrived()
    ENDED = 3       # ended()

cdef class Sink:
    cdef int room(self, Workshop workshop) except -1
    cdef int arrived(self, Workshop workshop, Py_ssize_t n) except -1
    cdef bint ended(self) except -1
    cdef str blame(self, int doing)

cdef Sink NOWHERE       # of a transport that has none

cdef class AnyProtocolSink(Sink):
    cdef object protocol

    cdef str failed(self, str method)

cdef class ProtocolSink(AnyProtocolSink):
    cdef object data_received               # bound
    cdef Py_ssize_t latest                  # bytes that came last time

    cdef int bind(self, object protocol) except -1
    @cython.locals(data=bytes, lent=Py_ssize_t)
    cdef int arrived(self, Workshop workshop, Py_ssize_t n) except -1

@cython.final
cdef class BufferedSink(AnyProtocolSink):
    cdef object get_buffer, buffer_updated  # bound

@cython.locals(sink=ProtocolSink)
cdef Sink sink_of(object protocol)
