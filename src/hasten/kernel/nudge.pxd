cdef int called(void *unused) except -1
