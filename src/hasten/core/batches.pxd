cimport cython
cimport hasten.core.probe as probes
cimport hasten.core.ready as ready
cimport hasten.core.state as state
cimport hasten.kernel.step as step
from hasten.core.departures cimport Departures
from hasten.core.future cimport Future
from hasten.core.handle cimport Handle
from hasten.core.probe cimport Probe
from hasten.core.ready cimport Ready
from hasten.core.task cimport Task
from hasten.kernel.step cimport Step
from hasten.poll.contract cimport Watch

cdef class Batches:
    cdef readonly Ready _ready
    cdef readonly Step _step
    cdef Departures departures      # what was written and leaves when the batch ends
    cdef bint debug
    cdef bint slowly                # in debug mode, or observers want to know of tasks
    cdef public double slow_callback_duration       # seconds; debug mode tells of longer ones
    cdef bint in_batch              # an entry of the batch runs: what is raised comes from it
    cdef Probe probe                # who looks on; None: nobody

    @cython.locals(end=size_t, tag=cython.int, queue=Ready, departures=Departures)
    cdef int run_batch(self) except -1
    @cython.locals(end=size_t, tag=cython.int, queue=Ready, departures=Departures, probe=Probe)
    cdef int run_batch_slowly(self) except -1
    @cython.locals(start=double, took=double)
    cdef int run_timed(self, object item, int tag) except -1
    @cython.locals(probe=Probe, task=Task)
    cdef int run_observed(self, object item, int tag) except -1
    cdef int run_item(self, object item, int tag) except -1
