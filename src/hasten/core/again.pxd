cimport cython
cimport hasten.kernel.step as step

@cython.final
cdef class Again:
    cdef object fn
    cdef dict __dict__      # what shows it as the function: __name__, __doc__, __wrapped__
    cdef object __weakref__
