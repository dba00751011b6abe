"""The heap of timers. The plain twin is timers.py.

Four children a node: half the depth of a binary heap, and the children share a cache line or two.
"""
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from cpython.object cimport visitproc

cdef extern from "hasten.h":
    int hasten_visit(PyObject *o, visitproc visit, void *arg) noexcept
    void hasten_patch_gc(object type, int (*traverse)(PyObject *, visitproc, void *) noexcept,
                         int (*clear)(PyObject *) noexcept) noexcept
    void Py_INCREF(PyObject *) noexcept
    void Py_DECREF(PyObject *) noexcept


cdef inline bint before(Entry *a, Entry *b) noexcept:
    return a.when < b.when or (a.when == b.when and a.order < b.order)


cdef inline void sift_up(Entry *e, size_t i) noexcept:
    cdef Entry moving = e[i]
    cdef size_t parent
    while i > 0:
        parent = (i - 1) >> 2
        if not before(&moving, &e[parent]):
            break
        e[i] = e[parent]
        i = parent
    e[i] = moving


cdef inline void sift_down(Entry *e, size_t n, size_t i) noexcept:
    cdef Entry moving = e[i]
    cdef size_t child, best, last
    while True:
        child = 4 * i + 1
        if child >= n:
            break
        last = child + 4 if child + 4 < n else n
        best = child
        child += 1
        while child < last:
            if before(&e[child], &e[best]):
                best = child
            child += 1
        if not before(&e[best], &moving):
            break
        e[i] = e[best]
        i = best
    e[i] = moving


cdef class Timers:
    cdef int push(self, object handle, double when) except -1:
        cdef size_t room
        cdef Entry *bigger
        if self.used == self.room:
            room = 2 * self.room if self.room else 32
            bigger = <Entry *>PyMem_RawRealloc(self.entries, room * sizeof(Entry))
            if bigger == NULL:
                raise MemoryError()
            self.entries = bigger
            self.room = room
        cdef Entry *e = &self.entries[self.used]
        e.when = when
        e.order = self.order
        e.handle = <PyObject *>handle
        Py_INCREF(e.handle)
        self.order += 1
        self.used += 1
        sift_up(self.entries, self.used - 1)
        if self.dozing:
            self.rouse()
        return 0

    cdef int rouse(self) except -1:
        """Make the loop look again how long it may sleep: a timer was set while it went to sleep."""
        cdef Poller poller = self.poller
        self.dozing = False
        if poller is not None:
            poller.wake()
        return 0

    cdef object pop(self):
        """Take out and return the earliest handle."""
        cdef PyObject *top = self.entries[0].handle
        self.used -= 1
        if self.used:
            self.entries[0] = self.entries[self.used]
            sift_down(self.entries, self.used, 0)
        return hasten_steal(top)

    cdef int end_sweep(self) except -1:
        """Let go of the entries that retain() was not called for since the last sweep."""
        cdef size_t i, kept = self.kept, gone = self.used - kept
        # To drop one may run anything, also set the next timer: first they are out of the heap, and that is in order.
        cdef PyObject **dead = <PyObject **>PyMem_RawMalloc((gone if gone else 1) * sizeof(PyObject *))
        self.kept = 0
        if dead == NULL:        # nothing is lost: they go when they surface
            self.heapify()
            return 0
        for i in range(gone):
            dead[i] = self.entries[kept + i].handle
        self.used = kept
        self.cancelled = 0
        self.heapify()
        self.shrink()
        for i in range(gone):
            hasten_steal(dead[i])
        PyMem_RawFree(dead)
        return 0

    cdef int heapify(self) noexcept:
        cdef size_t i
        if self.used > 1:
            i = ((self.used - 2) >> 2) + 1
            while i > 0:
                i -= 1
                sift_down(self.entries, self.used, i)
        return 0

    cdef int shrink(self) noexcept:
        cdef Entry *e
        if self.room > 256 and self.used < self.room // 8:
            e = <Entry *>PyMem_RawRealloc(self.entries, (self.room // 4) * sizeof(Entry))
            if e != NULL:
                self.entries = e
                self.room = self.room // 4
        return 0

    cdef void drop(self) noexcept:
        """Let go of all entries."""
        cdef PyObject *handle
        while self.used:
            self.used -= 1
            handle = self.entries[self.used].handle
            Py_DECREF(handle)
        self.cancelled = 0

    def items(self):
        """Return [(when, handle)] in heap order: for tests and diagnosis."""
        cdef size_t i, n
        cdef double *times
        # To allocate may run anything, and change what is in here: so first all the room, then all that is read.
        while True:
            n = self.used
            handles = [None] * n
            times = <double *>PyMem_RawMalloc((n if n else 1) * sizeof(double))
            if times == NULL:
                raise MemoryError()
            if n == self.used:
                break
            PyMem_RawFree(times)
        for i in range(n):
            times[i] = self.entries[i].when
            handles[i] = <object>self.entries[i].handle
        try:
            for i in range(n):
                handles[i] = (times[i], handles[i])
        finally:
            PyMem_RawFree(times)
        return handles

    def __dealloc__(self):
        self.drop()
        PyMem_RawFree(self.entries)
        self.entries = NULL


cdef int _traverse(PyObject *me, visitproc visit, void *arg) noexcept:
    cdef Timers t = <Timers>me
    cdef size_t i
    cdef int res
    if t.poller is not None:
        res = hasten_visit(<PyObject *>t.poller, visit, arg)
        if res != 0:
            return res
    for i in range(t.used):
        res = hasten_visit(t.entries[i].handle, visit, arg)
        if res != 0:
            return res
    return 0


cdef int _clear(PyObject *me) noexcept:
    (<Timers>me).drop()
    return 0


hasten_patch_gc(Timers, _traverse, _clear)
