cimport cython
cimport hasten.kernel.buffers as buffers
cimport hasten.kernel.channel as channels
cimport hasten.kernel.socket_channel as socket_channel
cimport hasten.poll.events as ev
from hasten.kernel.channel cimport Channel
from hasten.net.endpoint cimport Endpoint
from hasten.net.outbox cimport Outbox
from hasten.poll.contract cimport Poller

cdef class SocketTransport(Endpoint):
    cdef object data_received               # of the protocol, bound; of a BufferedProtocol: buffer_updated
    cdef object get_buffer                  # of a BufferedProtocol, bound; None: a plain one
    cdef object waiter                      # a Future that is told when reading has begun, or None
    cdef Outbox outbox                      # what waits to be sent; None: nothing ever did
    cdef Py_ssize_t latest                  # bytes that the latest recv gave
    cdef unsigned char paused               # pause_reading()
    cdef unsigned char readable             # it fired while it could not be read: events to look at on resume
    cdef unsigned char at_end               # the peer ended its side and the protocol keeps the transport open
    cdef unsigned char eof                  # write_eof() was called
    cdef unsigned char internet             # TCP: the kernel tells of room only when a send fell short

    cdef int attach(self, object loop, Channel channel, object protocol, dict extra, object server, object context) except -1
    @cython.locals(fired=int, channel=Channel)
    cdef int react(self) except -1
    cdef int read_ready(self, bint hangup) except -1
    @cython.locals(n=Py_ssize_t, full=bint, lent=Py_ssize_t, data=bytes, channel=Channel)
    cdef int read_chunk(self, bint hangup) except -1
    @cython.locals(n=Py_ssize_t, full=bint, channel=Channel)
    cdef int read_buffer(self, bint hangup) except -1
    @cython.locals(poller=Poller)
    cdef int go_on(self, bint hangup, bint full) except -1
    @cython.locals(keep_open=bint)
    cdef int reached_end(self) except -1
    @cython.locals(poller=Poller)
    cdef int write_ready(self) except -1
    @cython.locals(outbox=Outbox)
    cdef int flush(self) except -1
    cdef int flushed(self) except -1
    @cython.locals(outbox=Outbox)
    cdef int keep(self, bytes data) except -1
    @cython.locals(outbox=Outbox)
    cdef Outbox own_outbox(self)
    @cython.locals(poller=Poller)
    cdef int want_write(self) except -1
    @cython.locals(channel=Channel)
    cdef int shut_writing(self) except -1
    @cython.locals(outbox=Outbox)
    cdef int pause_if_full(self) except -1
    @cython.locals(outbox=Outbox)
    cdef int resume_if_drained(self) except -1
    cdef inline Py_ssize_t waiting(self) noexcept:
        """Bytes that wait to be sent."""
        return 0 if self.outbox is None else self.outbox.size
    cdef int bind_protocol(self, object protocol) except -1
    @cython.locals(poller=Poller)
    cdef int start(self) except -1
    cdef int cannot_write(self) except -1

@cython.locals(transport=SocketTransport)
cpdef SocketTransport open_channel(object loop, Channel channel, object protocol, object waiter, dict extra, object server,
                                object context)
