cimport cython
cimport hasten.kernel.step as step
cimport hasten.core.state as state
from hasten.core.future cimport Future

cdef bint pending(object fut) except -1
@cython.locals(f=Future)
cdef bint succeeded(object fut) except -1
cpdef bint set_unless_done(object fut, object result=*) except -1
cdef object wake
cpdef bint fail_unless_done(object fut, object exc) except -1
