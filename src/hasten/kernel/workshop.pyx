"""What one loop's reads and writes use again and again. The plain twin is workshop.py.

A loop has one, and runs in one thread: nobody else is in it between two lines that hold the interpreter's lock.

A read takes three steps: who wants the bytes makes room (make_room() or borrow_room()), a channel reads into it, and
who wants them takes them (take_bytes(); a borrowed buffer has them already). Nothing else may run between two of them.
"""
cimport cython
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
cimport hasten.kernel.interpreter as interpreter

cdef extern from *:
    """
    static inline void hasten_resize(PyObject *b, Py_ssize_t n) {
        Py_SET_SIZE((PyVarObject *)b, n);
        PyBytes_AS_STRING(b)[n] = 0;
        _Py_COMP_DIAG_PUSH
        _Py_COMP_DIAG_IGNORE_DEPR_DECLS
        ((PyBytesObject *)b)->ob_shash = -1;
        _Py_COMP_DIAG_POP
    }
    """
    void hasten_resize(object b, Py_ssize_t n) noexcept
    Py_ssize_t Py_REFCNT(object) noexcept

cdef extern from "keep_heap.h":
    void hasten_keep_heap() noexcept



cdef void resize(bytes data, Py_ssize_t n) noexcept:
    """Make a bytes object that nobody else has seen shorter, or as long again as it was made."""
    hasten_resize(data, n)


cdef int _keep_heap() noexcept:
    """Have the C library keep the memory of large objects for the next ones: see keep_heap.h."""
    hasten_keep_heap()
    return 0


# It is part of no circle: what it borrows, it has while one read goes on.
@cython.no_gc
cdef class Workshop:
    def __cinit__(self):
        # A fresh 256 KiB object for each recv would cost page faults.
        self.scratch = <char *>PyMem_RawMalloc(CHUNK)
        if self.scratch == NULL:
            raise MemoryError()

    def __dealloc__(self):
        PyMem_RawFree(self.scratch)

    # ---- one read -------------------------------------------------------------------------

    cdef int make_room(self, Py_ssize_t expected) except -1:
        """Make room for bytes. `expected` is how many came last time.

        Small ones land in the scratch. Large ones go straight into the object that take_bytes() gives, which is used again
        if give_back() finds that nobody has kept it.
        """
        cdef Py_ssize_t room = 2 * _LARGE
        if expected < _LARGE:
            self.start = self.scratch
            self.size = CHUNK
            return 0
        while room < CHUNK and room < expected + expected // 4:
            room *= 2
        large = self.take_spare(&room)
        self.large = large
        self.start = PyBytes_AS_STRING(large)
        self.size = room
        return 0

    cdef bint borrow_room(self, object buf) except -1:
        """Take a writable buffer as room; return False if it is empty. Raises what the buffer raises."""
        cdef Py_buffer view
        PyObject_GetBuffer(buf, &view, PyBUF_WRITABLE)      # may run anything
        if view.len == 0:
            PyBuffer_Release(&view)
            return False
        self.view = view
        self.borrowed = buf
        self.start = <char *>view.buf
        self.size = view.len
        return True

    cdef int leave_room(self) except -1:
        """End the use of the room. Giving a borrowed buffer back may run code of others."""
        cdef Py_buffer view
        large = self.large
        if self.borrowed is not None:
            view = self.view
            self.borrowed = None
            PyBuffer_Release(&view)
        elif large is not None:
            self.large = None
            self.keep_spare(large, self.size)
        return 0

    cdef int was_read(self, Py_ssize_t n) except -1:
        """Note that a channel has read `n` bytes into the room; below 0: none."""
        if n > 0:
            self.received += n
            if n >= _LARGE:
                _keep_heap()
        if self.borrowed is not None or (n <= 0 and self.large is not None):
            self.leave_room()
        return 0

    cdef int bring(self, bytes data) except -1:
        """Take bytes that code of others has read: take_bytes() returns them."""
        self.large = data
        self.size = -1
        return 0

    cdef bytes take_bytes(self, Py_ssize_t n):
        """Return what was read into make_room()'s room. If `lent` is not 0, call give_back() afterwards."""
        cdef Py_ssize_t room = self.size
        cdef bytes data = self.large
        self.lent = 0
        if data is None:
            return PyBytes_FromStringAndSize(self.start, n)
        self.large = None
        if room < 0:
            return data
        if n >= room // 4:
            resize(data, n)
            self.lent = room
            return data
        result = PyBytes_FromStringAndSize(PyBytes_AS_STRING(data), n)      # the room would be wasted on it
        self.keep_spare(data, room)
        return result

    # ---- large objects --------------------------------------------------------------------

    cdef bytes take_spare(self, Py_ssize_t *room):
        """Return an object to receive `room` bytes into, or somewhat more: sets `room` to how many."""
        spare = self.spare
        if spare is not None and self.spare_room >= room[0] and self.spare_room <= 4 * room[0]:
            self.spare = None
            room[0] = self.spare_room
            return spare
        return PyBytes_FromStringAndSize(NULL, room[0])

    cdef int keep_spare(self, bytes data, Py_ssize_t room) noexcept:
        """Keep `data`, which nobody else has, for the next large read. `room` is the size that it was made with."""
        resize(data, room)
        self.spare_room = room
        self.spare = data
        return 0

    cdef int give_back(self, bytes data, Py_ssize_t room) noexcept:
        """Give back what take_bytes() returned, with `lent` as `room`. The caller holds just one reference."""
        if Py_REFCNT(data) == 1:
            self.keep_spare(data, room)
        return 0

    # ---- other threads --------------------------------------------------------------------

    cdef int let_others_run(self) except -1:
        """Let a thread that waits for the interpreter's lock have it, once after each MiB.

        Call this where nothing depends on what was read before.

        The interpreter gives it away for Python code. Where all callbacks are C functions it is not given away, but for the
        poller, which comes after a batch that may read from a thousand sockets. To give the lock away around each large
        recv or send, as the socket module does, would be worse: the thread that takes it may keep it for
        sys.getswitchinterval(), each time.
        """
        if self._moved() >= TURN:
            self.turned = self.received + self.sent
            interpreter.share_lock()
        return 0
