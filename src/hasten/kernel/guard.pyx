"""What a loop should have done by now, done by another thread while a callback blocks the loop's. The plain twin is guard.py.

See guard.h for the thread. It is begun at the first expect(), and takes the interpreter's lock only to call rescue().
"""
import atexit
import os

cdef extern from "guard.h":
    void hasten_guard_expect(hasten_word *w) noexcept
    void hasten_guard_forget(hasten_word *w) noexcept
    void hasten_guard_stop(int over) noexcept
    void hasten_guard_resume() noexcept
    bint hasten_guard_prepare(int (*act)(object) except -1) noexcept
    hasten_word *hasten_guard_first() noexcept
    Guarded hasten_guard_owner(hasten_word *w)


cdef class Guarded:
    """What the guard looks after. A subclass says in rescue() what is to be done."""

    def __cinit__(self):
        self.word.owner = <void *>self

    def __dealloc__(self):
        hasten_guard_forget(&self.word)

    cdef int expect(self) noexcept:
        """Have rescue() called some ten milliseconds from now, unless done() is called before. In the loop's thread."""
        hasten_guard_expect(&self.word)
        return 0

    cdef int rescue(self) except -1:
        """Do what is due, in the guard's thread. The loop's is anywhere in a callback, but in no code that keeps the lock."""
        self.done()
        return 0

    cdef int abandon(self) except -1:
        """Forget what is due, in the child of a fork: the parent does it. Nothing here runs Python."""
        self.done()
        self.disown()
        return 0


cdef int _act(object owner) except -1:
    return (<Guarded>owner).rescue()


def _stop():
    """End the thread, until it is needed again: a fork of a process that has threads is warned of."""
    hasten_guard_stop(False)


def _in_parent():
    hasten_guard_resume()


def _in_child():
    """Forget what the parent has to do: there is no thread here, and no loop runs."""
    cdef hasten_word *word = hasten_guard_first()
    cdef Guarded owner
    while word != NULL:
        owner = hasten_guard_owner(word)
        if owner is not None:
            owner.abandon()
        word = word.next


def _at_exit():
    """End the thread for ever, and do what it was to do: daemon threads may be in the middle of a batch."""
    cdef hasten_word *word
    cdef Guarded owner
    hasten_guard_stop(True)
    word = hasten_guard_first()
    while word != NULL:
        owner = hasten_guard_owner(word)
        if owner is not None and hasten_word_is_due(word):
            owner.rescue()
        word = word.next


if not hasten_guard_prepare(_act):
    raise MemoryError
os.register_at_fork(before=_stop, after_in_parent=_in_parent, after_in_child=_in_child)
atexit.register(_at_exit)


cpdef bint available() noexcept:
    """True if there is such a thread here."""
    return True
