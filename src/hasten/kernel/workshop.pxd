from cpython.buffer cimport Py_buffer

cdef enum:
    CHUNK = 262144          # how much one read takes at most
    _LARGE = 16384          # from here on one more copy, or fresh memory for each read, is what costs
    TURN = 1 << 20          # bytes; some 0.2 ms

cdef int _keep_heap() noexcept

cdef class Workshop:
    cdef char *scratch              # CHUNK bytes: received into first, then copied to bytes of the right size
    cdef bytes spare                # a large object that was received into directly, or None
    cdef Py_ssize_t spare_room      # its true size
    cdef object letter_box          # what datagrams are received into; made by kernel/datagram_channel, which needs it
    cdef readonly unsigned long long received, sent     # bytes, ever
    cdef unsigned long long turned  # their sum when other threads had their turn
    # The room of the read that comes next. Nothing else runs between make_room() or borrow_room() and the read, or between
    # the read and take_bytes().
    cdef char *start
    cdef Py_ssize_t size            # in bytes; -1: `large` has just what was read
    cdef bytes large                # the object that the room lies in; None: the scratch, or a borrowed buffer
    cdef object borrowed            # the buffer of another object, or None
    cdef Py_buffer view             # of that buffer
    cdef Py_ssize_t lent            # of the latest take_bytes(): the true size of an object to be given back by give_back(); 0: none

    # What a Channel's latest send_whole() came to, where that was not all, for its outcome().
    cdef Py_ssize_t short           # the bytes that left, or -1
    cdef int error                  # errno

    cdef int make_room(self, Py_ssize_t expected) except -1
    cdef bint borrow_room(self, object buf) except -1
    cdef int leave_room(self) except -1
    cdef inline unsigned long long _moved(self) noexcept:
        """Bytes since other threads had their turn."""
        return self.received + self.sent - self.turned
    cdef inline int was_sent(self, Py_ssize_t n) noexcept:
        """Note that `n` bytes have left."""
        self.sent += n
        return _keep_heap() if n >= _LARGE else 0
    cdef inline bint was_plain(self, Py_ssize_t n) noexcept:
        """Do as was_read() where that is only to count: some bytes were read into the scratch. False: it is not."""
        if n <= 0 or n >= _LARGE or self.borrowed is not None:
            return False
        self.received += n
        return True
    cdef int was_read(self, Py_ssize_t n) except -1
    cdef int bring(self, bytes data) except -1
    cdef bytes take_bytes(self, Py_ssize_t n)
    cdef bytes take_spare(self, Py_ssize_t *room)
    cdef int keep_spare(self, bytes data, Py_ssize_t room) noexcept
    cdef int give_back(self, bytes data, Py_ssize_t room) noexcept
    cdef int let_others_run(self) except -1
