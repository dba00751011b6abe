cimport cython
cimport hasten.core.probe as probes
from hasten.core.probe cimport Observer, Probe
from hasten.core.scheduler cimport Scheduler
cimport hasten.kernel.step as step

@cython.locals(probe=Probe)
cpdef list observers_of(object loop)
cdef int check_loop(object loop) except -1
cdef int check(object observer, object loop) except -1
cdef bint is_in(list items, object thing) except -1
@cython.locals(probe=Probe, runs=bint)
cdef int observe(object loop, Observer observer, bint guest) except -1
@cython.locals(ours=Scheduler, probe=Probe, known=bint)
cdef bint observe_quietly(object loop, Observer observer, bint guest) except -1
@cython.locals(ours=Scheduler, probe=Probe, guests=tuple, changed=bint)
cdef int receive(object loop) except -1
@cython.locals(probe=Probe, guests=tuple)
cdef int see_off(object loop) except -1
@cython.locals(probe=Probe)
cdef int dismiss(object loop, Observer observer) except -1
@cython.locals(ours=Scheduler, probe=Probe)
cdef int ignore(object loop, Observer observer) except -1
cdef int apply(Scheduler loop, Probe probe) except -1
@cython.locals(probe=Probe)
cdef int of_loop(object loop, int event) except -1
