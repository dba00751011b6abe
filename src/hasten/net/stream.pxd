cimport cython
cimport hasten.kernel.socket_channel as socket_channel
cimport hasten.net.sink as sinks
cimport hasten.poll.events as ev
from hasten.kernel.channel cimport Channel
from hasten.kernel.workshop cimport Workshop
from hasten.net.sender cimport Sender
from hasten.net.server_base cimport ServerBase
from hasten.net.sink cimport Sink
from hasten.poll.contract cimport Poller

cdef class SocketTransport(Sender):
    cdef int attach(self, object loop, Channel channel, object protocol, dict extra, ServerBase server, object context) except -1
    cdef int turn_elsewhere(self) except -1
    @cython.locals(fired=int)
    cdef int react(self) except -1
    @cython.locals(sink=Sink, workshop=Workshop, n=Py_ssize_t, more=bint, keep_open=bint, doing=int)
    cdef int read(self, int hangup) except -1
    @cython.locals(poller=Poller, level=int)
    cdef int enter(self) except -1
    cdef int leave_unread(self, int fired) except -1
    cdef int read_by_edges(self) except -1

@cython.locals(transport=SocketTransport)
cpdef SocketTransport open_channel(object loop, Channel channel, object protocol, object waiter, dict extra, ServerBase server,
                                object context)
