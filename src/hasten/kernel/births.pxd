from cpython.object cimport PyObject

cdef object new(PyObject *kind, PyObject *args, PyObject *kwargs)
