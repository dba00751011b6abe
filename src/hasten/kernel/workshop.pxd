cdef enum:
    CHUNK = 262144          # how much one read takes at most
    TURN = 1 << 20          # bytes; some 0.2 ms

cdef class Workshop:
    cdef char *scratch              # CHUNK bytes: received into first, then copied to bytes of the right size
    cdef bytes spare                # a large object that was received into directly, or None
    cdef Py_ssize_t spare_room      # its true size
    cdef Py_ssize_t moved           # bytes since other threads had their turn

    cdef bytes take_spare(self, Py_ssize_t *room)
    cdef int keep_spare(self, bytes data, Py_ssize_t room) noexcept
    cdef int give_back(self, bytes data, Py_ssize_t room) noexcept
    cdef int let_others_run(self) except -1

cdef void resize(bytes data, Py_ssize_t n) noexcept
