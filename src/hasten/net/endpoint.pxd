cimport cython
cimport hasten.core.outcomes as outcomes
cimport hasten.kernel.step as step
cimport hasten.poll.events as ev
from hasten.core.departures cimport Departures
from hasten.kernel.channel cimport Channel
from hasten.core.scheduler cimport Scheduler
from hasten.net.server_base cimport ServerBase
from hasten.poll.contract cimport Poller, Watch

cdef Channel _NOTHING                       # of a transport that was not initialized

cdef class Endpoint(Watch):
    cdef readonly object _loop              # None once the connection is lost
    cdef Scheduler scheduler                # the same; stays
    cdef Channel channel                    # what it reads and writes; its fd is -1 once closed
    cdef readonly object _protocol          # None once the connection is lost
    cdef readonly ServerBase _server        # that it was accepted by, or None
    cdef object waiter                      # a Future that is told when the beginning is over, or None
    cdef dict extra                         # what get_extra_info() tells besides; None: nothing
    cdef object context                     # the protocol's methods run in it
    cdef object lost_by                     # what end() tells the protocol
    cdef unsigned int _conn_lost            # > 0: connection_lost was called or is scheduled; then: writes since
    cdef unsigned char to_begin             # it stands in the ready queue for begin()
    cdef unsigned char to_end               # ... for end()
    cdef unsigned char started              # connection_made was called
    cdef unsigned char closing
    cdef unsigned char inside               # the protocol's context is entered
    # What the classes above note stands here, since each class that has such fields would be padded to eight bytes.
    cdef unsigned char paused               # Receiver: pause_reading()
    cdef unsigned char readable             # Receiver: it fired while it was paused: events to look at on resume
    cdef unsigned char at_end               # Receiver: the peer ended its side, and the protocol was told or is being told
    cdef unsigned char retrying             # FlowControl: a timer goes on, and _retry() comes
    cdef unsigned char leaving              # what writes: it stands in the loop's departures
    cdef unsigned char eof                  # Sender: write_eof() was called
    cdef unsigned char internet             # Sender: TCP: the kernel tells of room only when a send fell short
    cdef unsigned char filing               # Sender: a file is being sent (net/sendfile): writes are refused
    cdef unsigned char counted              # among the loop's open transports
    cdef dict __dict__                      # methods can be replaced on an instance; made when that is first done

    cdef int setup(self, object loop, Channel channel, dict extra, object context) except -1
    @cython.locals(fired=int)
    cdef int dispatch(self) except -1
    cdef int interrupted(self, int fired) except -1
    cdef int turn_elsewhere(self) except -1
    cdef int turn(self) except -1
    cdef int begin(self) except -1
    cdef int introduce(self) except -1
    cdef int start(self) except -1
    cdef int enter(self) except -1
    cdef int begun(self, object error) except -1
    cdef int begin_soon(self) except -1
    cdef int end_soon(self) except -1
    cdef int end(self) except -1
    cdef int react(self) except -1
    cdef int again(self, int events) except -1
    @cython.locals(poller=Poller)
    cdef int look_again(self, int events) except -1
    cdef inline int stir(self) noexcept:
        """Note that something was sent: the next tick asks the poller, as the peer may be on this very loop."""
        if self.scheduler is not None:
            self.scheduler._poller.stirred = True
            self.scheduler.departures.written = True
        return 0
    @cython.locals(poller=Poller)
    cdef int unwatch(self) except -1
    @cython.locals(server=ServerBase)
    cdef int let_go(self, Channel channel) except -1
    cdef int take_off(self, ServerBase server) except -1
    cdef int fatal(self, object exc, str message) except -1
    cdef bint is_usual(self, object exc) except -1
    cdef int let_pass(self, object exc) except -1
    cdef int tell(self, str message, object exc, object protocol) except -1
    cdef int finish(self, object exc) except -1
    cdef int depart(self) except -1
    @cython.locals(departures=Departures)
    cdef bint leave_to_parent(self) except -1
    cdef int discard(self) except -1
    cdef int release(self) except -1
