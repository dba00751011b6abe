cimport cython
cimport hasten.core.ready as ready
from hasten.core.ready cimport Ready
from hasten.kernel.guard cimport Guarded
from hasten.kernel.step cimport Step
from hasten.poll.contract cimport Poller, Watch

cdef enum:
    LONE = 16       # batches with one small write each, and the next such write is sent at once

@cython.final
cdef class Departures(Guarded):
    cdef Ready queue
    cdef Step stepper               # the loop's
    cdef Poller poller              # the loop's
    cdef bint enabled               # writes are put off
    cdef int pieces                 # that were put off in this batch
    cdef int lone                   # batches in a row with one small write each: LONE, or fewer
    cdef bint written               # something was sent at once in this batch

    cdef inline size_t count(self) noexcept:
        """How many transports wait."""
        return self.queue.count()
    cdef inline bint open(self) noexcept:
        """True if a write may be put off: the loop runs in this thread, and a batch's end is to come."""
        if not self.enabled or self.poller.sleeping or self.is_inherited() or not self.stepper.runs():
            return False
        return self.lone < LONE or self.written
    cdef inline int end_batch(self) except -1:
        """Send what was put off in the batch that has ended."""
        if self.queue.count():
            self.send_off()
        self.written = False
        return 0
    cdef inline bint adds(self, Watch watch) noexcept:
        """Do as add(), unless that needs memory: then return False."""
        if not self.queue.has_room():
            return False
        self.queue.put(watch, ready.WATCH)
        return True
    cdef int add(self, Watch watch) except -1
    cdef inline int soon(self) noexcept:
        """Note that a transport in the queue has one more piece to send."""
        self.pieces += 1
        return 0 if self.is_expected() else self.expect()
    cdef int send_off(self) except -1
    @cython.locals(queue=Ready, end=size_t)
    cdef int send_all(self) except -1
    @cython.locals(queue=Ready, watch=Watch)
    cdef int send_until(self, size_t end) except -1
    @cython.locals(stepper=Step, enabled=bint)
    cdef int wind_up(self) except -1
