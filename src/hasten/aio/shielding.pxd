cimport cython
cimport hasten.aio.collecting as collecting
cimport hasten.core.state as state
from hasten.aio.collecting cimport Collector
from hasten.core.future cimport Future

@cython.final
cdef class Shield(Collector):
    cdef object inner               # None once either of the two is done

    cdef int part(self) except -1
