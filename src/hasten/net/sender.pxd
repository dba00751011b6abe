cimport cython
cimport hasten.core.outcomes as outcomes
cimport hasten.kernel.buffers as buffers
cimport hasten.kernel.deques as deques
cimport hasten.kernel.step as step
cimport hasten.poll.events as ev
from hasten.core.departures cimport Departures
from hasten.core.scheduler cimport Scheduler
from hasten.kernel.channel cimport Channel
from hasten.net.endpoint cimport Endpoint
from hasten.net.flow_control cimport FlowControl, WaterMarks
from hasten.net.outbox cimport Outbox
from hasten.poll.contract cimport Poller

cdef enum:
    LATE_BYTES = 65536      # of one transport are put off at most
    LATE_PIECES = 64        # what one system call takes

cdef class Sender(FlowControl):
    cdef Outbox outbox                      # what waits to be sent; None: nothing ever did
    cdef object late                        # what was put off until the end of the batch: bytes, a list of them, or None
    cdef unsigned int late_size             # its bytes that are still to be sent
    cdef unsigned int rescued               # its bytes that the guard has sent
    cdef object courier                     # the future of who sends it and waits for room, or None

    cdef inline Py_ssize_t waiting(self) noexcept:
        """The number of bytes that the kernel did not take."""
        return 0 if self.outbox is None else self.outbox.size
    cdef inline bint takes_late(self, Py_ssize_t n) noexcept:
        """True if `n` bytes more may be put off until the end of the batch: nothing waits in the outbox."""
        n += self.late_size
        if n > LATE_BYTES or self.channel.at_once or not self.scheduler.departures.open():
            return False
        return self.outbox is None or (self.outbox.size == 0 and n <= self.outbox.high)
    cdef inline bint leaves_first(self, bytes data) noexcept:
        """Put the first write of a batch off. False: it is no such write, or for another reason write() sees to it."""
        cdef Py_ssize_t n = len(data)
        if self.late is not None or self.leaving or self.eof or self._conn_lost or self.filing:
            return False
        if n == 0 or not self.takes_late(n) or not self.scheduler.departures.adds(self):
            return False
        self.leaving = True
        self.late = data
        self.late_size = n
        self.scheduler.departures.soon()
        return True
    cdef bint put_off(self, bytes piece) except -1
    cdef bint all_left(self, object piece) except -1
    cdef int batch_ended(self) except -1
    @cython.locals(channel=Channel, n=Py_ssize_t)
    cdef Py_ssize_t send_now(self, object late) except -2
    @cython.locals(n=Py_ssize_t)
    cdef int send_late(self) except -1
    @cython.locals(n=Py_ssize_t, outbox=Outbox)
    cdef int send_rest(self, object late, Py_ssize_t size, Py_ssize_t gone) except -1
    @cython.locals(piece=bytes)
    cdef int keep_all(self, object late) except -1
    @cython.locals(n=Py_ssize_t)
    cdef int rescue(self) except -1
    cdef int depart(self) except -1
    cdef int abandon(self) except -1
    cdef int cannot_write(self, Py_ssize_t n, str method) except -1
    cdef int write_failed(self, object exc) except -1
    @cython.locals(outbox=Outbox)
    cdef int keep(self, bytes data) except -1
    @cython.locals(made=Outbox)
    cdef Outbox own_outbox(self)
    @cython.locals(poller=Poller)
    cdef int want_write(self) except -1
    cdef int want_no_write(self) except -1
    @cython.locals(poller=Poller)
    cdef int ask_for(self, int events) except -1
    @cython.locals(outbox=Outbox)
    cdef int flush(self) except -1
    @cython.locals(before=Py_ssize_t)
    cdef int write_ready(self) except -1
    cdef int flushed(self) except -1
    @cython.locals(channel=Channel)
    cdef int tell_courier(self, object exc) except -1
    cdef int shut_writing(self) except -1
