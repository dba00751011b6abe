cimport cython
cimport hasten.kernel.buffers as buffers
cimport hasten.kernel.datagram_channel as datagram_channel
cimport hasten.kernel.deques as deques
cimport hasten.kernel.step as step
cimport hasten.poll.events as ev
from hasten.core.departures cimport Departures
from hasten.kernel.channel cimport Channel
from hasten.kernel.datagram_channel cimport DatagramChannel
from hasten.net.flow_control cimport FlowControl, WaterMarks
from hasten.poll.contract cimport Poller

cdef enum:
    LATE_BYTES = 65536      # of one transport are put off at most
    LATE_LETTERS = 64       # what one system call takes
    HEADER = 8              # bytes that each datagram counts besides its own

cdef enum:
    BY_CALLER = 0           # where an error is met: in sendto(), whose caller the protocol's exceptions reach
    BY_POLLER = 1           # in a turn of the transport's own, in the protocol's context
    BY_BATCH = 2            # elsewhere in the loop

@cython.final
cdef class DatagramQueue(WaterMarks):
    cdef object letters                     # deque: bytes; or (bytes, packed address); or (bytes, None, address as it came)

    cdef int put(self, object letter, Py_ssize_t n) except -1
    @cython.locals(n=Py_ssize_t)
    cdef int flush(self, DatagramChannel channel) except -1
    cdef int take_off(self, Py_ssize_t n) except -1
    cdef int post_first(self, DatagramChannel channel) except -1
    cdef int clear(self) except -1

cdef class DatagramTransport(FlowControl):
    cdef DatagramQueue queue                # what is still to be sent
    cdef object arrived                     # deque of what was received and not delivered yet: (bytes, address)
    cdef object address                     # the only one to send to, as create_datagram_endpoint() was given it; or None
    cdef list failures                      # what the guard met: errors that are to be told; None: none
    cdef unsigned char blocked              # the kernel has no room, and the poller tells when it has

    cdef inline Py_ssize_t waiting(self) noexcept:
        """The number of bytes that wait to be sent, headers included."""
        return 0 if self.queue is None else self.queue.size
    cdef int attach(self, object loop, DatagramChannel channel, object protocol, object address, object waiter, dict extra, object context) except -1
    @cython.locals(poller=Poller)
    cdef int enter(self) except -1
    @cython.locals(fired=int)
    cdef int react(self) except -1
    @cython.locals(channel=DatagramChannel, poller=Poller, n=Py_ssize_t)
    cdef int read(self, int hangup) except -1
    cdef int deliver(self) except -1
    @cython.locals(channel=DatagramChannel)
    cdef object letter(self, bytes data, object addr)
    @cython.locals(queue=DatagramQueue)
    cdef int accept(self, object letter, Py_ssize_t n) except -1
    @cython.locals(queue=DatagramQueue, departures=Departures)
    cdef bint put_off(self) except -1
    cdef int batch_ended(self) except -1
    @cython.locals(queue=DatagramQueue, tries=Py_ssize_t)
    cdef int rescue(self) except -1
    cdef int abandon(self) except -1
    @cython.locals(queue=DatagramQueue, errors=Py_ssize_t)
    cdef int send_waiting(self, int where) except -1
    @cython.locals(queue=DatagramQueue, channel=DatagramChannel, others=bint)
    cdef bint send_until_error(self, int where) except -1
    @cython.locals(poller=Poller)
    cdef int want_write(self) except -1
    cdef int write_ready(self) except -1
    @cython.locals(poller=Poller, before=Py_ssize_t)
    cdef int send_more(self) except -1
    @cython.locals(queue=DatagramQueue)
    cdef int discard(self) except -1
    cdef int error_met(self, object exc, int where) except -1

@cython.locals(transport=DatagramTransport)
cpdef DatagramTransport open_datagrams(object loop, object sock, object protocol, object address, object waiter, dict extra, object context)
