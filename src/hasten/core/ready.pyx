"""The ready queue. The plain twin is ready.py."""
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.object cimport PyObject, visitproc
cimport hasten.core.probe as probes

cdef extern from "hasten.h":
    int hasten_visit(PyObject *o, visitproc visit, void *arg) noexcept
    void hasten_patch_gc(object type, int (*traverse)(PyObject *, visitproc, void *) noexcept,
                         int (*clear)(PyObject *) noexcept) noexcept

cdef size_t FIRST_SIZE = 256
cdef object _show = None


def show_by(function):
    """Make iteration over a queue yield function(item, tag) for each item: handles, as in asyncio's queue."""
    global _show
    _show = function


cdef class Ready:
    def __cinit__(self):
        self.slots = <uintptr_t *>PyMem_RawMalloc(FIRST_SIZE * sizeof(uintptr_t))
        if self.slots == NULL:
            raise MemoryError()
        self.mask = FIRST_SIZE - 1
        self.room = FIRST_SIZE

    cdef int push_slowly(self, object item, uintptr_t tag) except -1:
        """Do as push() while the ring is full, or the loop dozes."""
        cdef Poller poller
        self.reserve(1)
        self.slots[self.tail & self.mask] = hasten_tag(item, tag)
        self.tail += 1
        if self.room == 0:
            self.rouse()
            poller = self.poller
            if poller is not None:
                poller.wake()
        return 0

    cdef int tell_probe(self, int event, object task, object future) except -1:
        cdef Probe probe = self.probe
        return 0 if probe is None else probe.of_entry(event, task, future)

    cdef int tell_of_step(self, object task, object future) except -1:
        """Tell that a step has ended, and what it waits for, if it does."""
        self.tell_probe(probes.STEP_ENDS, task, None)
        return 0 if future is None else self.tell_probe(probes.PARKED, task, future)

    cdef int grow(self) except -1:
        cdef size_t i, mask = 2 * self.mask + 1
        cdef uintptr_t *new = <uintptr_t *>PyMem_RawMalloc((mask + 1) * sizeof(uintptr_t))
        if new == NULL:
            raise MemoryError()
        for i in range(self.head, self.tail):
            new[i & mask] = self.slots[i & self.mask]
        PyMem_RawFree(self.slots)
        self.slots = new
        self.mask = mask
        if self.room != 0:
            self.room = mask + 1
        return 0

    cdef void drop(self) noexcept:
        """Let go of all items, and of what their destructors push."""
        while self.head != self.tail:
            self.take()

    def refill(self, list entries not None):
        """Have these entries, as items() gives them, in place of what stands in the queue: for tests."""
        while self.head != self.tail:
            self.take()
        for item, tag in entries:
            if not 0 <= tag <= CHILD:  # the tag says what C takes the item for
                raise ValueError(f"no such tag: {tag}")
            self.push(item, tag)

    def __len__(self):
        return self.tail - self.head

    def __iter__(self):
        shown = [_show(item, tag) for item, tag in self.items()]
        return iter(shown)

    def items(self):
        """Return [(item, tag)], oldest first: for tests and diagnosis."""
        cdef size_t i, n
        cdef uintptr_t word
        # To allocate may run anything, and change what is in here: so first all the room, then all the references.
        while True:
            n = self.count()
            items, tags = [None] * n, [0] * n
            if n == self.count():
                break
        for i in range(n):
            word = self.slots[(self.head + i) & self.mask]
            items[i] = <object>(<PyObject *>(word & ~<uintptr_t>7))
            tags[i] = <int>(word & 7)       # a small number: not allocated
        return list(zip(items, tags))

    def __dealloc__(self):
        if self.slots != NULL:
            self.drop()
            PyMem_RawFree(self.slots)
            self.slots = NULL


cdef int _traverse(PyObject *me, visitproc visit, void *arg) noexcept:
    cdef Ready r = <Ready>me
    cdef size_t i
    cdef int res
    if r.poller is not None:
        res = hasten_visit(<PyObject *>r.poller, visit, arg)
        if res != 0:
            return res
    if r.probe is not None:
        res = hasten_visit(<PyObject *>r.probe, visit, arg)
        if res != 0:
            return res
    for i in range(r.head, r.tail):
        res = hasten_visit(<PyObject *>(r.slots[i & r.mask] & ~<uintptr_t>7), visit, arg)
        if res != 0:
            return res
    return 0


cdef int _clear(PyObject *me) noexcept:
    (<Ready>me).drop()
    return 0


hasten_patch_gc(Ready, _traverse, _clear)
