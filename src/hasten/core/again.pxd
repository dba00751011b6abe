cimport cython
cimport hasten.kernel.step as step

@cython.final
cdef class Again:
    cdef object fn
