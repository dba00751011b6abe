"""Nonblocking reads and writes of a link's socket. The plain twin is sockio.py.

Between a system call and what is made of it nothing else runs: no destructor, no `__release_buffer__`. What a call found
out besides its result stands in the link, and is set last.

The interpreter's lock is kept: the calls do not block, and giving the lock away costs as much as a small recv.
"""
from cpython.buffer cimport (
    PyBUF_FULL_RO, PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_IsContiguous, PyBuffer_Release, PyBuffer_ToContiguous,
    PyObject_GetBuffer,
)
from cpython.bytearray cimport PyByteArray_CheckExact
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from cpython.mem cimport PyMem_RawMalloc
from cpython.memoryview cimport PyMemoryView_FromObject, PyMemoryView_GET_BUFFER
from cpython.ref cimport Py_INCREF, PyObject
from cpython.sequence cimport PySequence_GetItem
from libc.errno cimport EAGAIN, EINTR, errno
cimport hasten.kernel.interpreter as interpreter
from hasten.kernel.link cimport Link, descriptor

cdef extern from *:
    """
    #include <sys/types.h>
    #include <sys/socket.h>
    #include <sys/uio.h>
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0
    #endif
    static ssize_t hasten_sendv(int fd, struct iovec *iov, int n) {
        struct msghdr m = {0};
        m.msg_iov = iov;
        m.msg_iovlen = n;
        return sendmsg(fd, &m, MSG_NOSIGNAL);
    }
    /* Descriptors that come with the data are dropped, but the data behind them is left for the next call: `cut`. */
    static ssize_t hasten_recv_local(int fd, void *buf, size_t n, int *cut) {
        struct iovec iov = {buf, n};
        struct msghdr m = {0};
        m.msg_iov = &iov;
        m.msg_iovlen = 1;
        ssize_t got = recvmsg(fd, &m, 0);
        *cut = got > 0 && (m.msg_flags & MSG_CTRUNC) != 0;
        return got;
    }
    """
    int MSG_NOSIGNAL
    ctypedef struct iovec "struct iovec":
        void *iov_base
        size_t iov_len
    Py_ssize_t c_recv "recv"(int fd, void *buf, size_t n, int flags) nogil
    Py_ssize_t c_send "send"(int fd, const void *buf, size_t n, int flags) nogil
    Py_ssize_t hasten_recv_local(int fd, void *buf, size_t n, int *cut) nogil
    Py_ssize_t hasten_sendv(int fd, iovec *iov, int n) nogil

# Received into first, then copied to bytes of the right size: a fresh 256 KiB object for each recv would cost
# page faults. One for the process: it is used between two lines that hold the interpreter's lock.
cdef char *_scratch = <char *>PyMem_RawMalloc(CHUNK)
if _scratch == NULL:
    raise MemoryError()

cdef enum:
    MANY = 64           # pieces in one sendmsg


cdef extern from *:
    """
    #include <errno.h>
    static inline void hasten_errno_set(int e) { errno = e; }
    """
    void errno_set "hasten_errno_set"(int e) noexcept
    Py_ssize_t Py_REFCNT(object) noexcept


cdef inline bint would_block() noexcept:
    return errno == EAGAIN or errno == EINTR    # EWOULDBLOCK is EAGAIN wherever this is compiled


cdef enum:
    LARGE = 16384       # from here on one more copy, or fresh memory for each recv, is what costs


cdef extern from *:
    """
    /* A large bytes object that was received into directly. While it is out with a protocol its size is that of the
     * data; when it comes back and nobody has kept it, it serves again. */
    static PyObject *hasten_spare;          /* owned, or NULL */
    static Py_ssize_t hasten_spare_room;

    static PyObject *hasten_take_spare(Py_ssize_t *room) {      /* new */
        PyObject *b = hasten_spare;
        if (b != NULL && hasten_spare_room >= *room && hasten_spare_room <= 4 * *room) {
            hasten_spare = NULL;
            *room = hasten_spare_room;
            return b;
        }
        return PyBytes_FromStringAndSize(NULL, *room);
    }
    static void hasten_resize(PyObject *b, Py_ssize_t n) {
        Py_SET_SIZE((PyVarObject *)b, n);
        PyBytes_AS_STRING(b)[n] = 0;
        _Py_COMP_DIAG_PUSH
        _Py_COMP_DIAG_IGNORE_DEPR_DECLS
        ((PyBytesObject *)b)->ob_shash = -1;
        _Py_COMP_DIAG_POP
    }
    static void hasten_keep_spare(PyObject *b, Py_ssize_t room) {   /* steals */
        PyObject *old = hasten_spare;
        hasten_resize(b, room);
        hasten_spare = b;
        hasten_spare_room = room;
        Py_XDECREF(old);
    }
    """
    object hasten_take_spare(Py_ssize_t *room)
    void hasten_resize(object b, Py_ssize_t n) noexcept
    void hasten_keep_spare(PyObject *b, Py_ssize_t room) noexcept


cdef Py_ssize_t _moved = 0          # bytes since others had their turn

cdef enum:
    TURN = 1 << 20      # bytes; some 0.2 ms


cdef int let_others_run() except -1:
    """To be called where nothing depends on what was looked at before: a thread that waits for the lock gets it, once
    after each MiB.

    The interpreter gives it away for Python code. Where all callbacks are C functions nobody does, but for the poller,
    which comes after a batch that may read from a thousand sockets. To give the lock away around each large recv or
    send, as the socket module does, would be worse: whoever takes it may keep it for sys.getswitchinterval(), each time.
    """
    global _moved
    if _moved >= TURN:
        _moved = 0
        interpreter.share_lock()
    return 0


cdef Py_ssize_t receive(Link link, void *buf, Py_ssize_t room, bint local, bint *full) noexcept:
    """One recv(2). `full`: there may be more."""
    global _moved
    cdef int cut = 0
    cdef Py_ssize_t n
    if local:
        n = hasten_recv_local(descriptor(link), buf, room, &cut)
    else:
        n = c_recv(descriptor(link), buf, room, 0)
    _moved += n
    full[0] = n == room or cut
    return n


cdef object recv(Link link, Py_ssize_t expected, bint local):
    """What there is, at most CHUNK bytes; b"" at the end; None if it would block. Raises OSError.

    `local`: it is a unix socket. `expected` is what the latest recv gave: large ones go straight into the object that
    the protocol gets, which is used again if give_back() finds that nobody has kept it.
    """
    cdef Py_ssize_t n
    cdef bint full
    link.lent = 0
    if link.foreign:
        return recv_foreign(link)
    if expected >= LARGE:
        return recv_large(link, expected, local)
    n = receive(link, _scratch, CHUNK, local, &full)
    if n >= 0:
        link.full = full
        return PyBytes_FromStringAndSize(_scratch, n)
    if would_block():
        return None
    PyErr_SetFromErrno(OSError)


cdef object recv_large(Link link, Py_ssize_t expected, bint local):
    cdef Py_ssize_t n, room = 2 * LARGE
    cdef bint full
    cdef int error
    while room < CHUNK and room < expected + expected // 4:
        room *= 2
    data = hasten_take_spare(&room)
    n = receive(link, PyBytes_AS_STRING(data), room, local, &full)
    error = errno
    link.full = full
    if n >= room // 4:
        hasten_resize(data, n)
        link.lent = room
        return data
    # nothing, or so little that the room would be wasted on it
    result = None if n < 0 else PyBytes_FromStringAndSize(PyBytes_AS_STRING(data), n)
    Py_INCREF(data)
    hasten_keep_spare(<PyObject *>data, room)
    errno_set(error)
    if n < 0 and not would_block():
        PyErr_SetFromErrno(OSError)
    return result


cdef object recv_foreign(Link link):
    """By the method that somebody has put there. It may hold back what the kernel will not tell of again."""
    made = link.made
    try:
        data = made.recv(CHUNK)
    except (BlockingIOError, InterruptedError):
        return None
    data = exact(data)
    link.full = True
    return data


cdef int give_back(object data, Py_ssize_t room) except -1:
    """The protocol has seen what recv() gave, with `lent` = room. The caller has the one reference that it knows of."""
    if Py_REFCNT(data) == 1:
        Py_INCREF(data)
        hasten_keep_spare(<PyObject *>data, room)
    return 0


cdef Py_ssize_t recv_into(Link link, object buf, bint local) except -2:
    """Fills a writable buffer: the number of bytes, 0 at the end, -1 if it would block, NO_ROOM if it is empty.

    Raises OSError; what a buffer raises that is none.
    """
    cdef Py_buffer view
    cdef bint full
    cdef int error
    cdef Py_ssize_t n
    PyObject_GetBuffer(buf, &view, PyBUF_WRITABLE)
    if view.len == 0:
        PyBuffer_Release(&view)
        return NO_ROOM
    if link.foreign:
        PyBuffer_Release(&view)
        return recv_into_foreign(link, buf)
    n = receive(link, view.buf, view.len, local, &full)
    error = errno
    PyBuffer_Release(&view)     # may run anything
    link.full = full
    if n >= 0:
        return n
    errno_set(error)
    if would_block():
        return -1
    PyErr_SetFromErrno(OSError)
    return -2


cdef Py_ssize_t recv_into_foreign(Link link, object buf) except -2:
    cdef Py_ssize_t n
    made = link.made
    try:
        n = made.recv_into(buf)
    except (BlockingIOError, InterruptedError):
        return -1
    if n < 0:
        raise ValueError(f"recv_into() of {made!r} gave {n}: a number of bytes was expected")
    link.full = True
    return n


cdef object plain(object data):
    """What can be looked at without running anything: bytes, a bytearray or a memoryview themselves, a view of what
    else has a buffer, a copy of what does not lie in one piece."""
    if PyBytes_CheckExact(data) or PyByteArray_CheckExact(data):
        return data
    view = PyMemoryView_FromObject(data)
    return view if PyBuffer_IsContiguous(PyMemoryView_GET_BUFFER(view), c'C') else exact(view)


cdef Py_ssize_t size(object data) except -1:
    """The number of bytes of something plain()."""
    cdef Py_buffer view
    cdef Py_ssize_t n
    if PyBytes_CheckExact(data):
        return PyBytes_GET_SIZE(data)
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    n = view.len
    PyBuffer_Release(&view)
    return n


cdef bytes exact(object data):
    """The bytes of anything with a buffer, copied unless they cannot change."""
    cdef Py_buffer view
    if PyBytes_CheckExact(data):
        return data
    PyObject_GetBuffer(data, &view, PyBUF_FULL_RO)
    try:
        copy = PyBytes_FromStringAndSize(NULL, view.len)
        PyBuffer_ToContiguous(PyBytes_AS_STRING(copy), &view, view.len, c'C')
    finally:
        PyBuffer_Release(&view)
    return copy


cdef bytes send(Link link, object data):
    """Sends something plain(): what did not go, or None. Raises OSError."""
    cdef Py_buffer view
    if link.foreign:
        return send_foreign(link, data)
    if PyBytes_CheckExact(data):
        return send_block(link, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), data)
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return send_block(link, <char *>view.buf, view.len, None)
    finally:
        PyBuffer_Release(&view)


cdef bytes send_block(Link link, char *start, Py_ssize_t n, object whole):
    """`whole`: the bytes object that this is, if it is one."""
    global _moved
    cdef Py_ssize_t sent = c_send(descriptor(link), start, n, MSG_NOSIGNAL)
    _moved += sent
    if sent == n:
        return None
    if sent < 0:
        if not would_block():
            PyErr_SetFromErrno(OSError)
        sent = 0
    if sent == 0 and whole is not None:
        return whole
    # what is left of bytes could be kept as they are, but they may be much longer
    return PyBytes_FromStringAndSize(start + sent, n - sent)


cdef bytes send_foreign(Link link, object data):
    cdef Py_ssize_t n, total = size(data)
    made = link.made
    try:
        n = made.send(data)
    except (BlockingIOError, InterruptedError):
        n = 0
    check_sent(made, n, total)
    return None if n == total else exact(memoryview(data).cast("B")[n:])


cdef Py_ssize_t check_sent(object made, Py_ssize_t n, Py_ssize_t total) except -2:
    if n < 0 or n > total:
        raise ValueError(f"send() of {made!r} gave {n}: the number of bytes that it took of {total} was expected")
    return n


cdef Py_ssize_t send_from(Link link, bytes data, Py_ssize_t offset) except -2:
    """Sends what lies behind `offset`: the number of bytes that went, -1 if it would block. Raises OSError."""
    global _moved
    cdef Py_ssize_t n
    if link.foreign:
        return send_from_foreign(link, data, offset)
    n = c_send(descriptor(link), PyBytes_AS_STRING(data) + offset, PyBytes_GET_SIZE(data) - offset, MSG_NOSIGNAL)
    _moved += n
    if n >= 0:
        return n
    if would_block():
        return -1
    PyErr_SetFromErrno(OSError)
    return -2


cdef Py_ssize_t send_from_foreign(Link link, bytes data, Py_ssize_t offset) except -2:
    made = link.made
    try:
        return check_sent(made, made.send(memoryview(data)[offset:]), PyBytes_GET_SIZE(data) - offset)
    except (BlockingIOError, InterruptedError):
        return -1


cdef Py_ssize_t send_many(Link link, object items, Py_ssize_t offset) except -2:
    """send_from() of the first pieces (bytes) of a deque, in one system call."""
    global _moved
    cdef iovec iov[MANY]
    cdef Py_ssize_t sent, i, n = min(len(items), MANY)
    cdef bytes item
    if link.foreign:
        return send_from_foreign(link, items[0], offset)
    # By index, since to make an iterator may run the collector. Nothing runs until they are sent, and the deque holds them.
    for i in range(n):
        item = PySequence_GetItem(items, i)
        iov[i].iov_base = <void *>(PyBytes_AS_STRING(item) + offset)
        iov[i].iov_len = PyBytes_GET_SIZE(item) - offset
        offset = 0
    sent = hasten_sendv(descriptor(link), iov, n)
    _moved += sent
    if sent >= 0:
        return sent
    if would_block():
        return -1
    PyErr_SetFromErrno(OSError)
    return -2
