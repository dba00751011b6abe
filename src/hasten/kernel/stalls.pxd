from cpython.object cimport PyObject
from hasten.kernel.step cimport Step

cdef extern from "stall_watch.h":
    ctypedef struct hasten_watched:
        double awake
        int sampled
        double threshold
        double hang

cpdef bint available() noexcept
cpdef list mirror()

cdef class Watched:
    cdef hasten_watched *record     # NULL: it is not watched
    cdef Step step                  # of the loop: where the current task is published

    cpdef bint attach(self, Step step, double threshold, double hang) except -1
    cpdef int detach(self) except -1
    cpdef object take(self)
    cdef inline bint wakes(self, double now) noexcept:
        """Note that the loop is awake from now on."""
        if self.record != NULL:
            self.record.awake = now
        return False
    cdef inline bint sleeps(self) noexcept:
        """Note that it is asleep; return whether take() has something."""
        if self.record == NULL:
            return False
        self.record.awake = 0.0
        return self.record.sampled != 0
