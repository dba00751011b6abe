from cpython.object cimport PyObject
from hasten.kernel.step cimport Step

cdef extern from "stall_word.h":
    ctypedef struct hasten_stall_word:
        pass
    void hasten_stall_awake(hasten_stall_word *w, double since) noexcept
    bint hasten_stall_sampled(hasten_stall_word *w) noexcept

cdef int know_tasks(object kind, size_t name, size_t origin, size_t origin_at, size_t number) except -1
cpdef bint available() noexcept
cpdef list mirror()

cdef class Watched:
    cdef hasten_stall_word *word    # of its record, which begins with it; NULL: it is not watched
    cdef Step step                  # of the loop: where the current task is published

    cpdef bint attach(self, Step step, double threshold, double hang, unsigned long thread=*) except -1
    cpdef int detach(self) except -1
    cpdef object take(self)
    cdef inline bint wakes(self, double now) noexcept:
        """Note that the loop is awake from now on."""
        if self.word != NULL:
            hasten_stall_awake(self.word, now)
        return False
    cdef inline bint sleeps(self) noexcept:
        """Note that it is asleep; return whether take() has something."""
        if self.word == NULL:
            return False
        hasten_stall_awake(self.word, 0.0)
        return hasten_stall_sampled(self.word)
