cimport cython
cimport hasten.core.native as native
cimport hasten.kernel.step as step
from cpython.object cimport PyObject

cdef class LoopBound:
    cdef PyObject *attributes       # stands first: see step.lazy_attributes()
    cdef public object _loop        # None until it has to wait
    cdef object __weakref__

    cdef object bound_loop(self)
