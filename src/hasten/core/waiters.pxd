cimport cython
from hasten.core.handle cimport Handle
cimport hasten.kernel.step as step

cdef Py_ssize_t UNKNOWN, NONE

cdef object callback_of(object entry)
cdef int is_callback(object entry, object fn) noexcept
@cython.locals(found=Py_ssize_t, i=Py_ssize_t, same=int)
cdef Py_ssize_t find(list entries, object fn) except -3
cdef set equal(list entries, object fn)
cdef int check_loop(object loop, bint ours) except -1
cdef object made(object kind, object message)
cdef object done_already(object fut)
cdef object as_exception(object exception)
cdef object not_stopping(object exc, str message)
