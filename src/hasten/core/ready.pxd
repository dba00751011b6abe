cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uintptr_t
from hasten.core.probe cimport Probe
from hasten.poll.contract cimport Poller

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
    cdef size_t room            # how many fit in without a further check: the size, or 0 while the loop sleeps
    cdef int tag                # of the item taken last
    cdef bint debug             # the loop's debug mode, for code that has only the queue
    cdef bint guarded           # the loop has to be asked before something is put in: it is `slow`, or closed
    cdef bint slow              # debug mode, or `probe` is set
    cdef Probe probe            # who is told of tasks; None: nobody
    cdef Poller poller          # the loop's: it is woken by what is put in while the loop sleeps

    cdef inline int push(self, object item, uintptr_t tag) except -1:
        return self.put(item, tag) if self.has_room() else self.push_slowly(item, tag)
    cdef inline bint has_room(self) noexcept:
        """True if push() would do no more than put()."""
        return self.tail - self.head < self.room
    cdef inline int put(self, object item, uintptr_t tag) noexcept:
        """Do as push(), where has_room() is true."""
        self.slots[self.tail & self.mask] = hasten_tag(item, tag)
        self.tail += 1
        return 0
    cdef inline object take(self):
        # Drop the item that was taken before this one first: dropping it may run any code, which may change `tag`.
        cdef uintptr_t word = self.slots[self.head & self.mask]
        self.head += 1
        self.tag = word & 7
        return hasten_untag(word)
    cdef inline object at(self, size_t i):
        """Return the item that take() returns after `i` others. Only where there is one."""
        return <object><PyObject *>(self.slots[(self.head + i) & self.mask] & ~<uintptr_t>7)
    cdef inline size_t count(self) noexcept:
        return self.tail - self.head
    cdef inline size_t end(self) noexcept:
        """Return the number of the item that will come next: for reached()."""
        return self.tail
    cdef inline size_t taken(self) noexcept:
        """Return how many items were taken, ever."""
        return self.head
    cdef inline bint reached(self, size_t end) noexcept:
        """True once everything was taken that came before end() returned this number, or all there is."""
        return self.head == self.tail or <Py_ssize_t>(self.head - end) >= 0
    cdef inline int doze(self) noexcept:
        """Have the next push() wake the poller, once."""
        self.room = 0
        return 0
    cdef inline int rouse(self) noexcept:
        """End doze()."""
        self.room = self.mask + 1
        return 0
    cdef inline int reserve(self, size_t n) except -1:
        """Make the next `n` calls of push() succeed. Raises MemoryError."""
        while self.tail - self.head + n > self.mask + 1:
            self.grow()
        return 0
    cdef inline int tell_of(self, int event, object task) except -1:
        """Tell those who observe the loop of a task, by OfEntry."""
        return 0 if self.probe is None else self.tell_probe(event, task, None)
    cdef int tell_probe(self, int event, object task, object future) except -1
    cdef int tell_of_step(self, object task, object future) except -1
    cdef int push_slowly(self, object item, uintptr_t tag) except -1
    cdef int grow(self) except -1
    cdef void drop(self) noexcept
