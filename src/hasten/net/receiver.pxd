cimport hasten.net.sink as sinks
from hasten.net.endpoint cimport Endpoint
from hasten.net.sink cimport Sink

cdef class Receiver(Endpoint):
    cdef Sink sink                          # what takes the bytes that are read; datagrams go to the protocol itself

    cdef int bind_protocol(self, object protocol) except -1
    cdef int go_on(self) except -1
