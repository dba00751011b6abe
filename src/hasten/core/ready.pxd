cimport cython
from libc.stdint cimport uintptr_t

cdef extern from "hasten.h":
    uintptr_t hasten_tag(object o, uintptr_t tag) noexcept    # takes a reference
    object hasten_untag(uintptr_t word)                       # hands it over

cdef enum Tag:
    HANDLE = 0      # a Handle: run it
    TASK = 1        # a Task: step it
    WATCH = 2       # a poller's Watch: dispatch what fired
    CHILD = 3       # a Future that is done: tell the one that collects it

@cython.final
cdef class Ready:
    """The ready queue: a ring of owned, tagged references. Its size is a power of two."""
    cdef uintptr_t *slots
    cdef size_t mask            # size - 1
    cdef size_t head, tail      # ever growing; slot = number & mask
    cdef int tag                # of the item taken last
    cdef bint debug             # the loop's debug mode, for who has only the queue
    cdef bint guarded           # who puts something in has to ask the loop first: debug mode, or it is closed
    cdef object keep            # unused: gives the type a place in the garbage collector

    cdef inline int push(self, object item, uintptr_t tag) except -1:
        if self.tail - self.head > self.mask:
            self.grow()
        self.slots[self.tail & self.mask] = hasten_tag(item, tag)
        self.tail += 1
        return 0
    cdef inline object take(self):
        cdef uintptr_t word = self.slots[self.head & self.mask]
        self.head += 1
        self.tag = word & 7
        return hasten_untag(word)
    cdef inline size_t count(self) noexcept:
        return self.tail - self.head
    cdef int grow(self) except -1
    cdef void drop(self) noexcept
