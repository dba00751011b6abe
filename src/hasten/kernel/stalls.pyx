"""Which loop does not come back to its poller, and what its thread does meanwhile. The plain twin is stalls.py.

See stall_watch.h for the thread that looks, and frame_reading.h for how it reads the frames of another one.
"""
import atexit
import os
cimport cython
from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free

cdef extern from "stall_watch.h":
    enum:
        HASTEN_KINDS
    ctypedef struct hasten_place:
        char file[320]
        char name[96]
        int line
    ctypedef struct hasten_sample:
        int n, left_out, still, count
        uintptr_t task
        char called[96]
        char made[320]
        int made_line
        hasten_place places[48]
    ctypedef struct hasten_stall:
        double since
        int kinds, samples, moving, missed
        hasten_sample sample[3]
    ctypedef struct hasten_watched:
        hasten_stall_word word
        double threshold
        double hang
    bint hasten_watch_prepare() noexcept
    bint hasten_watch_read_by(int pipe) noexcept
    bint hasten_watch_attach(hasten_watched *w, PyObject **current, unsigned long ident) noexcept
    void hasten_watch_detach(hasten_watched *w) noexcept
    void hasten_stall_take(hasten_watched *w, hasten_stall *to, double *excused, double *computed, double *of) noexcept
    void hasten_watch_know_tasks(object type, size_t name, size_t origin, size_t origin_at, size_t number) noexcept
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


cdef int know_tasks(object kind, size_t name, size_t origin, size_t origin_at, size_t number) except -1:
    """Have the names of tasks read: `kind` is their class, which is never freed, the numbers say where its fields lie."""
    hasten_watch_know_tasks(kind, name, origin, origin_at, number)
    return 0


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
    """One loop that runs, as the watch sees it."""

    cpdef bint attach(self, Step step, double threshold, double hang, unsigned long thread=0) except -1:
        """Have it watched; both times are in seconds. Return False where that cannot be.

        `thread`: in which it runs, by threading.get_ident(); 0: in this one.
        """
        cdef hasten_watched *record
        self.detach()
        if not _ready or step is None:
            return False
        if not 0.0005 <= threshold <= 1e9:     # also no number; the thread would never rest
            raise ValueError(f"a threshold is a number of seconds, not {threshold!r}")
        record = <hasten_watched *>calloc(1, sizeof(hasten_watched))
        if record == NULL:
            raise MemoryError
        record.threshold, record.hang = threshold, hang
        self.step = step
        if not hasten_watch_attach(record, &step.current, thread):
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
        return 0

    def __dealloc__(self):
        if self.word != NULL:
            hasten_watch_detach(<hasten_watched *>self.word)

    cpdef object take(self):
        """Return what was sampled since the last take(), and forget it; None: nothing.

        (since, excused, computed, computed_of, moving, missed, [(count, still, left_out, task, frames, name, made)]):
        `since` by time.monotonic(); `excused` seconds since then the whole process stood still, or its thread waited for
        a processor; `computed` seconds of CPU time within the last `computed_of` seconds; `task` an address; frames
        innermost first; `name` of the task and where it was `made`, None where that is unknown.
        """
        cdef hasten_stall *stall
        cdef hasten_sample *s
        cdef int i
        cdef double excused = 0.0, computed = 0.0, of = 0.0
        if self.word == NULL:
            return None
        stall = <hasten_stall *>calloc(1, sizeof(hasten_stall))
        if stall == NULL:
            raise MemoryError
        try:
            hasten_stall_take(<hasten_watched *>self.word, stall, &excused, &computed, &of)
            if stall.since == 0.0:
                return None
            samples = []
            for i in range(stall.kinds):
                s = &stall.sample[i]
                name = _text(s.called) if s.called[0] else None
                made = f"{_text(s.made)}:{s.made_line}" if s.made[0] else None
                samples.append((s.count, bool(s.still), s.left_out, s.task, _frames(s), name, made))
            return stall.since, excused, computed, of, stall.moving, stall.missed, samples
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
