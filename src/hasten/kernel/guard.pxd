cdef extern from "guard_word.h":
    ctypedef struct hasten_word:
        void *owner
        hasten_word *next
    bint hasten_word_is_due(hasten_word *w) noexcept
    bint hasten_word_is_late(hasten_word *w) noexcept
    bint hasten_word_is_inherited(hasten_word *w) noexcept
    void hasten_word_make_late(hasten_word *w) noexcept
    void hasten_word_done(hasten_word *w) noexcept
    void hasten_word_disown(hasten_word *w) noexcept

cpdef bint available() noexcept

cdef class Guarded:
    cdef hasten_word word

    cdef int expect(self) noexcept
    cdef inline bint is_expected(self) noexcept:
        """True after expect(), until done()."""
        return hasten_word_is_due(&self.word)
    cdef inline bint is_late(self) noexcept:
        """True if that has lasted for longer than five milliseconds."""
        return hasten_word_is_late(&self.word)
    cdef inline bint is_inherited(self) noexcept:
        """True in the child of a fork for what the parent had there, until abandon()."""
        return hasten_word_is_inherited(&self.word)
    cdef inline int make_late(self) noexcept:
        """Have is_late() be true until done()."""
        hasten_word_make_late(&self.word)
        return 0
    cdef inline int done(self) noexcept:
        """There is nothing left that rescue() could do."""
        hasten_word_done(&self.word)
        return 0
    cdef inline int disown(self) noexcept:
        """Nothing of the parent's is left."""
        hasten_word_disown(&self.word)
        return 0
    cdef int rescue(self) except -1
    cdef int abandon(self) except -1
