cimport cython
from hasten.core.probe cimport Observer
from hasten.core.ready cimport Ready
from hasten.core.roster cimport Roster
from hasten.core.scheduler cimport Scheduler
from hasten.core.timers cimport Timers
from hasten.kernel.workshop cimport Workshop
cimport hasten.kernel.step as step

cdef enum:
    LENGTH = 15     # of BOUNDS

cdef class Opener(Observer):
    cdef bint closed

cdef class Meter(Observer):
    cdef Opener opener
    cdef double begun               # when the loop's run began; 0: it does not run
    cdef double woken               # when the poller was last asked, or began to be asked; 0: the loop does not run
    cdef double measured            # runs that are over, in seconds
    cdef double asleep              # time in the poller
    cdef double lag, longest        # times between two polls: their sum, the longest
    cdef double bounds[LENGTH]      # BOUNDS
    cdef unsigned long long counts[LENGTH + 1]  # how many there were within each of them, and behind the last

    @cython.locals(now=double, took=double, i=Py_ssize_t)
    cpdef poll_begins(self, object loop, double timeout)
    cpdef poll_ends(self, object loop, double now)

@cython.locals(meter=Meter)
cpdef Meter meter_of(object loop, Opener opener)
cpdef drop_meters(object loop, Opener opener)
@cython.locals(ours=Scheduler, roster=Roster, queue=Ready, timers=Timers, workshop=Workshop)
cpdef dict kept(object loop)
