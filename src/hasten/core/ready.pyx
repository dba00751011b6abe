"""The ready queue. The plain twin is ready.py."""
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.object cimport PyObject, visitproc

cdef extern from "hasten.h":
    int hasten_visit(PyObject *o, visitproc visit, void *arg) noexcept
    void hasten_patch_gc(object type, int (*traverse)(PyObject *, visitproc, void *) noexcept,
                         int (*clear)(PyObject *) noexcept) noexcept

cdef size_t FIRST_SIZE = 256


cdef class Ready:
    def __cinit__(self):
        self.slots = <uintptr_t *>PyMem_RawMalloc(FIRST_SIZE * sizeof(uintptr_t))
        if self.slots == NULL:
            raise MemoryError()
        self.mask = FIRST_SIZE - 1

    cdef int grow(self) except -1:
        cdef size_t i, n = self.tail - self.head
        cdef uintptr_t *new = <uintptr_t *>PyMem_RawMalloc(2 * (self.mask + 1) * sizeof(uintptr_t))
        if new == NULL:
            raise MemoryError()
        for i in range(n):
            new[i] = self.slots[(self.head + i) & self.mask]
        PyMem_RawFree(self.slots)
        self.slots = new
        self.mask = 2 * self.mask + 1
        self.head = 0
        self.tail = n
        return 0

    cdef void drop(self) noexcept:
        """Lets go of all items; what their destructors push goes too."""
        while self.head != self.tail:
            self.take()

    def __len__(self):
        return self.tail - self.head

    def items(self):
        """[(item, tag)], oldest first: for tests and diagnosis."""
        cdef size_t i
        cdef uintptr_t word
        out = []
        for i in range(self.head, self.tail):
            word = self.slots[i & self.mask]
            out.append((<object>(<PyObject *>(word & ~<uintptr_t>7)), word & 7))
        return out

    def __dealloc__(self):
        if self.slots != NULL:
            self.drop()
            PyMem_RawFree(self.slots)
            self.slots = NULL


cdef int _traverse(PyObject *me, visitproc visit, void *arg) noexcept:
    cdef Ready r = <Ready>me
    cdef size_t i
    cdef int res
    for i in range(r.head, r.tail):
        res = hasten_visit(<PyObject *>(r.slots[i & r.mask] & ~<uintptr_t>7), visit, arg)
        if res != 0:
            return res
    return 0


cdef int _clear(PyObject *me) noexcept:
    (<Ready>me).drop()
    return 0


hasten_patch_gc(Ready, _traverse, _clear)
