from cpython.object cimport PyObject

ctypedef PyObject *(*vectorcall)(PyObject *, PyObject *const *, size_t, PyObject *) noexcept

cdef class Function:
    cdef vectorcall entry           # how this object is called
    cdef vectorcall inner_entry     # and how `inner` is
    cdef object inner               # Cython's function
    cdef object owner               # of a method: the class of its first argument; else None
    cdef bint is_coroutine
    cdef object code                # what __code__ gives; made when it is first asked for
    cdef object name                # of the function, or as the program has set them
    cdef object qualname
    cdef object doc
    cdef object module
    cdef object annotations         # None: those of `inner`
    cdef dict __dict__
    cdef object __weakref__
