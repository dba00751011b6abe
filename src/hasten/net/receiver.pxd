cimport hasten.net.sink as sinks
from hasten.net.endpoint cimport Endpoint
from hasten.net.sink cimport Sink

cdef class Receiver(Endpoint):
    cdef Sink sink                          # what takes the bytes that are read; datagrams go to the protocol itself
    cdef unsigned char paused               # pause_reading()
    cdef unsigned char readable             # it fired while it was paused: events to look at on resume

    cdef int bind_protocol(self, object protocol) except -1
    cdef int go_on(self) except -1
