"""Which loop does not come back to its poller, and what its thread does meanwhile. The plain twin is stalls.py.

See stall_watch.h for the thread that looks, and frame_reading.h for how it reads the frames of another one.
"""
import atexit
import os
import time
cimport cython
from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free

cdef extern from "stall_watch.h":
    enum:
        HASTEN_KINDS
    ctypedef struct hasten_place:
        char file[160]
        char name[96]
        int line
    ctypedef struct hasten_sample:
        int n, left_out, still, count
        uintptr_t task
        hasten_place places[48]
    ctypedef struct hasten_stall:
        double since, excused, cpu, cpu_at
        int kinds, samples, moving, missed
        hasten_sample sample[3]
    ctypedef struct hasten_watched:
        hasten_stall_word word
        double threshold
        double hang
    bint hasten_watch_prepare() noexcept
    bint hasten_watch_read_by(int pipe) noexcept
    bint hasten_watch_attach(hasten_watched *w, PyObject **current) noexcept
    void hasten_watch_detach(hasten_watched *w) noexcept
    void hasten_stall_take(hasten_watched *w, hasten_stall *to) noexcept
    void hasten_watch_stop(int over) noexcept
    void hasten_watch_resume() noexcept
    bint hasten_mirror(hasten_sample *s) noexcept

cdef bint _ready = hasten_watch_prepare()


cdef str _text(const char *text):
    return (<bytes>text).decode("utf-8", "replace")


cdef list _frames(hasten_sample *s):
    """[(file, line, function)], the innermost first."""
    cdef int i
    cdef list frames = []
    for i in range(s.n):
        frames.append((_text(s.places[i].file), s.places[i].line, _text(s.places[i].name)))
    return frames


cpdef bint available() noexcept:
    """True if another thread's frames can be read here."""
    return _ready


def only_by_pipe(bint wanted):
    """Read by a pipe only, as where the other way is refused: for tests. Return False where that cannot be done."""
    return hasten_watch_read_by(wanted)


cpdef list mirror():
    """Return the frames of the calling thread as the watch reads them, the innermost first; None if it cannot."""
    cdef hasten_sample *s = <hasten_sample *>calloc(1, sizeof(hasten_sample))
    if s == NULL:
        raise MemoryError
    try:
        return _frames(s) if _ready and hasten_mirror(s) else None
    finally:
        free(s)


@cython.no_gc_clear        # the watch looks at the step as long as the record is there
cdef class Watched:
    """One loop that runs, as the watch sees it. attach() and detach() are called in the loop's thread."""

    cpdef bint attach(self, Step step, double threshold, double hang) except -1:
        """Have it watched; both times are in seconds. Return False where that cannot be."""
        cdef hasten_watched *record
        self.detach()
        if not _ready or step is None:
            return False
        record = <hasten_watched *>calloc(1, sizeof(hasten_watched))
        if record == NULL:
            raise MemoryError
        record.threshold, record.hang = threshold, hang
        self.step = step
        if not hasten_watch_attach(record, &step.current):
            free(record)
            return False
        self.word = &record.word
        return True

    cpdef int detach(self) except -1:
        """Have it watched no more. What was not taken is lost."""
        cdef hasten_watched *record = <hasten_watched *>self.word
        self.word = NULL
        if record != NULL:
            hasten_watch_detach(record)
            free(record)
        return 0

    def __dealloc__(self):
        if self.word != NULL:
            hasten_watch_detach(<hasten_watched *>self.word)
            free(self.word)

    cpdef object take(self):
        """Return what was sampled since the last take(), and forget it; None: nothing.

        (since, excused, computed, computed_of, moving, missed, [(count, still, left_out, task, frames)]): `since` by
        time.monotonic(); `excused` seconds of that the whole process stood still; `computed` seconds of CPU time within
        the last `computed_of` seconds; `task` an address; frames innermost first.
        """
        cdef hasten_stall *stall
        cdef hasten_sample *s
        cdef int i
        if self.word == NULL:
            return None
        stall = <hasten_stall *>calloc(1, sizeof(hasten_stall))
        if stall == NULL:
            raise MemoryError
        try:
            hasten_stall_take(<hasten_watched *>self.word, stall)
            if stall.since == 0.0:
                return None
            samples = []
            for i in range(stall.kinds):
                s = &stall.sample[i]
                samples.append((s.count, bool(s.still), s.left_out, s.task, _frames(s)))
            computed = time.thread_time() - stall.cpu
            of = time.monotonic() - stall.cpu_at
            return stall.since, stall.excused, computed, of, stall.moving, stall.missed, samples
        finally:
            free(stall)


def _stop():
    hasten_watch_stop(False)


def _resume():
    hasten_watch_resume()


def _at_exit():
    hasten_watch_stop(True)


os.register_at_fork(before=_stop, after_in_parent=_resume)
atexit.register(_at_exit)
