cimport cython
cimport hasten.kernel.step as step
cimport hasten.core.state as state
from hasten.core.future cimport Future
from hasten.core.task cimport Task

cdef class Collector(Future):
    @cython.locals(f=Future)
    cdef int release(self, object child) except -1
    cdef int conclude(self, object exc) except -1
    cdef int shown_for(self, object waiter) except -1

cdef int silence(object child) except -1
cdef object key_of(object child, dict by_id)
cdef Py_ssize_t check_limit(object limit) except -1
cdef bint all_different(object items) except -1
