cdef object plain(object data)
cdef Py_ssize_t size(object data) except -1
cdef bytes exact(object data)
