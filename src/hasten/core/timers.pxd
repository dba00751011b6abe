cimport cython
from cpython.ref cimport PyObject
from hasten.poll.contract cimport Poller

cdef extern from "hasten.h":
    object hasten_steal(PyObject *)

cdef struct Entry:
    double when                 # the loop's clock, seconds
    unsigned long long order    # equal deadlines run in the order they were set
    PyObject *handle            # strong

@cython.final
cdef class Timers:
    """The pending timers of a loop: a four-way heap. Cancelled ones stay until they surface, or until
    they are more than half of the heap."""
    cdef Entry *entries
    cdef size_t used, room
    cdef unsigned long long order
    cdef size_t cancelled       # entries whose handle is cancelled
    cdef size_t kept            # of a sweep: entries that stay
    cdef bint dozing            # the loop sleeps: the next push wakes the poller
    cdef Poller poller          # the loop's

    cdef int push(self, object handle, double when) except -1
    cdef object pop(self)
    cdef inline bint crowded(self) noexcept:
        return self.cancelled > 64 and 2 * self.cancelled > self.used
    cdef inline object at(self, size_t i):
        return <object>self.entries[i].handle
    cdef inline int retain(self, size_t i) noexcept:
        cdef Entry entry = self.entries[self.kept]
        self.entries[self.kept] = self.entries[i]
        self.entries[i] = entry
        self.kept += 1
        return 0
    cdef inline bint take_last(self, object handle) except -1:
        cdef size_t last = self.used - 1
        if self.used == 0 or self.entries[last].handle != <PyObject *>handle:
            return False
        self.used = last
        hasten_steal(<PyObject *>handle)
        return True
    cdef int end_sweep(self) except -1
    cdef int heapify(self) noexcept
    cdef int shrink(self) noexcept
    cdef int rouse(self) except -1
    cdef inline size_t count(self) noexcept:
        return self.used
    cdef inline double first(self) noexcept:
        return self.entries[0].when
    cdef void drop(self) noexcept
