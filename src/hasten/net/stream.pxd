cimport cython
cimport hasten.kernel.deques as deques
cimport hasten.kernel.link as links
cimport hasten.kernel.sockio as sockio
cimport hasten.poll.events as ev
from hasten.poll.contract cimport Poller
from hasten.kernel.link cimport Link
from hasten.net.endpoint cimport Endpoint
from hasten.poll.contract cimport Poller

cdef class SocketTransport(Endpoint):
    cdef object data_received               # of the protocol, bound; of a BufferedProtocol: buffer_updated
    cdef object get_buffer                  # of a BufferedProtocol, bound; None: a plain one
    cdef object waiter                      # a Future that is told when reading has begun, or None
    cdef object buffer                      # deque of bytes that wait to be sent; None: nothing does
    cdef Py_ssize_t sent                    # of buffer's first piece, already
    cdef Py_ssize_t buffered                # bytes in buffer that were not sent
    cdef Py_ssize_t high, low               # write buffer limits
    cdef Py_ssize_t latest                  # bytes that the latest recv gave
    cdef unsigned char paused               # pause_reading()
    cdef unsigned char readable             # it fired while it could not be read: events to look at on resume
    cdef unsigned char at_end               # the peer ended its side and the protocol keeps the transport open
    cdef unsigned char eof                  # write_eof() was called
    cdef unsigned char protocol_paused      # pause_writing() was called
    cdef unsigned char internet             # TCP: the kernel tells of room only when a send fell short

    cdef int attach(self, object loop, Link link, object protocol, dict extra, object server, object context) except -1
    @cython.locals(fired=int)
    cdef int react(self) except -1
    cdef int read_ready(self, bint hangup) except -1
    @cython.locals(n=Py_ssize_t, full=bint, lent=Py_ssize_t, data=bytes, link=Link)
    cdef int read_chunk(self, bint hangup) except -1
    @cython.locals(n=Py_ssize_t, full=bint, link=Link)
    cdef int read_buffer(self, bint hangup) except -1
    @cython.locals(poller=Poller)
    cdef int go_on(self, bint hangup, bint full) except -1
    @cython.locals(keep_open=bint)
    cdef int reached_end(self) except -1
    @cython.locals(poller=Poller)
    cdef int write_ready(self) except -1
    @cython.locals(n=Py_ssize_t, link=Link)
    cdef int flush(self) except -1
    @cython.locals(first=bytes)
    cdef int consume(self, Py_ssize_t n) except -1
    cdef int flushed(self) except -1
    cdef int keep(self, bytes data) except -1
    @cython.locals(poller=Poller)
    cdef int want_write(self) except -1
    @cython.locals(link=Link)
    cdef int shut_writing(self) except -1
    cdef int pause_if_full(self) except -1
    cdef int resume_if_drained(self) except -1
    cdef int bind_protocol(self, object protocol) except -1
    @cython.locals(poller=Poller)
    cdef int start(self) except -1
    cdef int cannot_write(self) except -1

@cython.locals(transport=SocketTransport)
cpdef SocketTransport open_link(object loop, Link link, object protocol, object waiter, dict extra, object server,
                                object context)
