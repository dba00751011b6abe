cimport cython
from hasten.core.probe cimport Observer
from hasten.core.ready cimport Ready
from hasten.core.roster cimport Roster
from hasten.core.scheduler cimport Scheduler
from hasten.core.timers cimport Timers
from hasten.kernel.workshop cimport Workshop
cimport hasten.kernel.step as step

cdef class Meter(Observer):
    cdef double begun               # when the loop's run began; 0: it does not run
    cdef double woken               # when the poller was last asked, or began to be asked; 0: the loop does not run
    cdef double measured            # runs that are over, in seconds
    cdef double asleep              # time in the poller
    cdef double lag, longest        # times between two polls: their sum, the longest
    cdef list counts                # how many there were within each of BOUNDS

    @cython.locals(now=double, took=double)
    cpdef poll_begins(self, object loop, double timeout)
    @cython.locals(now=double)
    cpdef poll_ends(self, object loop)

cdef class Opener(Observer):
    pass

@cython.locals(i=Py_ssize_t)
cdef Py_ssize_t place(double took) except -1
@cython.locals(meter=Meter)
cpdef Meter meter_of(object loop)
@cython.locals(ours=Scheduler, roster=Roster, queue=Ready, timers=Timers, workshop=Workshop)
cpdef dict kept(object loop)
