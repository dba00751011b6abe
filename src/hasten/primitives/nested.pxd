from hasten.core.native cimport NativeCoroutine

cdef class Driver(NativeCoroutine):
    cdef object inner           # what is driven, None: nothing

    cdef int drive(self) except -2
    cdef int drive_throw(self, object exc) except -2

cdef object iterator_of(object awaitable)
