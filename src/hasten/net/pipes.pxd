cimport cython
cimport hasten.kernel.step as step
cimport hasten.net.sink as sinks
cimport hasten.poll.events as ev
from hasten.kernel.channel cimport Channel
from hasten.kernel.pipe_channel cimport PipeChannel
from hasten.kernel.workshop cimport Workshop
from hasten.net.endpoint cimport Endpoint
from hasten.net.sender cimport Sender
from hasten.net.sink cimport Sink
from hasten.poll.contract cimport Poller

@cython.locals(poller=Poller, channel=PipeChannel)
cdef int listen(Endpoint transport, int events) except -1

cdef str shown(Endpoint transport)

cdef class ReadPipeTransport(Endpoint):
    cdef Sink sink                          # what takes the bytes that are read
    cdef unsigned char paused               # pause_reading()
    cdef unsigned char unpolled             # a device that cannot be polled, as /dev/null, since it never blocks

    cdef int bind_protocol(self, object protocol) except -1
    cdef int start(self) except -1
    @cython.locals(channel=Channel)
    cdef int react(self) except -1
    @cython.locals(channel=Channel, sink=Sink, workshop=Workshop, n=Py_ssize_t, doing=int)
    cdef int read(self) except -1
    @cython.locals(channel=PipeChannel)
    cdef int watch_pipe(self) except -1
    cdef int failed(self, object exc, Sink sink, int doing) except -1
    cdef int ended(self) except -1

cdef class WritePipeTransport(Sender):
    cdef unsigned char sees_reader          # the poller tells when nobody can read any more what is written
    cdef unsigned int ignored               # writes after the end

    cdef int start(self) except -1
    @cython.locals(channel=PipeChannel, fired=int)
    cdef int react(self) except -1
    cdef int reader_gone(self) except -1
    cdef int cannot_write(self, Py_ssize_t n) except -1
    @cython.locals(poller=Poller)
    cdef int want_write(self) except -1
    @cython.locals(poller=Poller)
    cdef int want_no_write(self) except -1

@cython.locals(transport=ReadPipeTransport)
cpdef ReadPipeTransport open_reading(object loop, PipeChannel channel, object protocol, object waiter)
@cython.locals(transport=WritePipeTransport)
cpdef WritePipeTransport open_writing(object loop, PipeChannel channel, object protocol, object waiter, bint sees_reader,
                                      bint at_once)
