cimport cython
cimport hasten.kernel.step as step
cimport hasten.net.sink as sinks
cimport hasten.poll.events as ev
from hasten.kernel.channel cimport Channel
from hasten.kernel.pipe_channel cimport PipeChannel
from hasten.kernel.workshop cimport Workshop
from hasten.net.endpoint cimport Endpoint
from hasten.net.receiver cimport Receiver
from hasten.net.sender cimport Sender
from hasten.net.sink cimport Sink
from hasten.poll.contract cimport Poller

@cython.locals(poller=Poller, channel=PipeChannel)
cdef bint listen(Endpoint transport, int events) except -1

@cython.locals(poller=Poller, other=Endpoint)
cdef int part(Endpoint transport, PipeChannel channel) except -1

cdef str shown(Endpoint transport)

cdef class ReadPipeTransport(Receiver):
    cdef unsigned char unpolled             # a device that cannot be polled, as /dev/null, since it never blocks

    cdef int enter(self) except -1
    cdef int go_on(self) except -1
    cdef int interrupted(self, int fired) except -1
    cdef int let_go(self, Channel channel) except -1
    @cython.locals(channel=Channel)
    cdef int react(self) except -1
    @cython.locals(channel=Channel, sink=Sink, workshop=Workshop, n=Py_ssize_t, doing=int)
    cdef int read(self) except -1
    cdef int watch_pipe(self) except -1
    cdef int failed(self, object exc, Sink sink, int doing) except -1
    cdef int ended(self) except -1

cdef class WritePipeTransport(Sender):
    cdef unsigned char sees_reader          # the poller tells when nobody can read any more what is written
    cdef unsigned int ignored               # writes after the end

    @cython.locals(poller=Poller)
    cdef int enter(self) except -1
    cdef int let_go(self, Channel channel) except -1
    @cython.locals(channel=PipeChannel, fired=int)
    cdef int react(self) except -1
    cdef int reader_gone(self) except -1
    cdef int cannot_write(self, Py_ssize_t n, str method) except -1
    @cython.locals(poller=Poller)
    cdef int want_write(self) except -1
    @cython.locals(poller=Poller)
    cdef int want_no_write(self) except -1

@cython.locals(transport=ReadPipeTransport)
cpdef ReadPipeTransport open_reading(object loop, PipeChannel channel, object protocol, object waiter)
@cython.locals(transport=WritePipeTransport)
cpdef WritePipeTransport open_writing(object loop, PipeChannel channel, object protocol, object waiter, bint sees_reader,
                                      bint at_once)
