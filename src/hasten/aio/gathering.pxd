cimport cython
cimport hasten.core.state as state
from hasten.core.future cimport Future

cdef class GatheringFuture(Future):
    cdef list children
    cdef Py_ssize_t left            # children that are not done
    cdef bint return_exceptions
    cdef bint cancel_requested

    cdef bint do_cancel(self, object msg) except -1
    @cython.locals(f=Future)
    cdef int child_done(self, object child) except -1
    @cython.locals(f=Future)
    cdef object ending_of(self, object child)
    cdef int end(self, object child) except -1
