cimport cython
cimport hasten.primitives.many_futures as many_futures
cimport hasten.core.outcomes as outcomes
cimport hasten.core.state as state
from hasten.primitives.many_futures cimport Collector
from hasten.core.future cimport Future

@cython.final
cdef class Shield(Collector):
    cdef object inner               # None once either of the two is done

    cdef int part(self) except -1
