"""What one loop's reads and writes use again and again. The plain twin is workshop.py.

A loop has one, and runs in one thread: nobody else is in it between two lines that hold the interpreter's lock.
"""
from cpython.bytes cimport PyBytes_FromStringAndSize
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


cdef void resize(bytes data, Py_ssize_t n) noexcept:
    """Makes a bytes object that nobody else has seen shorter, or as long again as it was made."""
    hasten_resize(data, n)


cdef class Workshop:
    def __cinit__(self):
        # A fresh 256 KiB object for each recv would cost page faults.
        self.scratch = <char *>PyMem_RawMalloc(CHUNK)
        if self.scratch == NULL:
            raise MemoryError()

    def __dealloc__(self):
        PyMem_RawFree(self.scratch)

    cdef bytes take_spare(self, Py_ssize_t *room):
        """An object to receive `room` bytes into, or somewhat more: `room` says how many."""
        spare = self.spare
        if spare is not None and self.spare_room >= room[0] and self.spare_room <= 4 * room[0]:
            self.spare = None
            room[0] = self.spare_room
            return spare
        return PyBytes_FromStringAndSize(NULL, room[0])

    cdef int keep_spare(self, bytes data, Py_ssize_t room) noexcept:
        """Nobody else has `data`: it will serve the next large read. `room`: the size that it was made with."""
        resize(data, room)
        self.spare_room = room
        self.spare = data
        return 0

    cdef int give_back(self, bytes data, Py_ssize_t room) noexcept:
        """The protocol has seen what a read gave. The caller has the one reference that it knows of."""
        if Py_REFCNT(data) == 1:
            self.keep_spare(data, room)
        return 0

    cdef int let_others_run(self) except -1:
        """To be called where nothing depends on what was looked at before: a thread that waits for the interpreter's
        lock gets it, once after each MiB.

        The interpreter gives it away for Python code. Where all callbacks are C functions nobody does, but for the
        poller, which comes after a batch that may read from a thousand sockets. To give the lock away around each large
        recv or send, as the socket module does, would be worse: whoever takes it may keep it for
        sys.getswitchinterval(), each time.
        """
        if self.moved >= TURN:
            self.moved = 0
            interpreter.share_lock()
        return 0
