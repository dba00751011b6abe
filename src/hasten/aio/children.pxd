cimport cython

@cython.final
cdef class Children:
    cdef list order             # the tasks, oldest first; None before `first`
    cdef Py_ssize_t first
    cdef dict loose             # by id(), as an __eq__ may be anything; None as long as they end in the order they came

    cdef Py_ssize_t count(self) except -1
    cdef int add(self, object task) except -1
    @cython.locals(first=Py_ssize_t, size=Py_ssize_t)
    cdef int discard(self, object task) except -1
    cdef int scatter(self) except -1
    cdef list members(self)
