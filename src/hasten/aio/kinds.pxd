cimport hasten.kernel.step as step
from hasten.core.future cimport Future

cdef object _isfuture

cpdef bint isfuture(object obj) except -1
cpdef bint iscoroutine(object obj) except -1
