cimport cython
cimport hasten.core.future as futures
cimport hasten.core.state as state
cimport hasten.poll.events as ev
from hasten.core.future cimport Future
from hasten.core.handle cimport Handle
from hasten.core.scheduler cimport Scheduler
from hasten.kernel.step cimport Step
from hasten.poll.contract cimport Poller, Watch

@cython.final
cdef class FdWatch(Watch):
    cdef Scheduler loop
    cdef Handle reader              # None: not asked for
    cdef Handle writer
    cdef object owner               # the object that add_reader() or add_writer() was given; None for a watch of our own
    cdef Future reading             # told when there is something to read: who waits for it once; None: nobody
    cdef Future writing             # ... when there is room to write
    cdef object read_from           # the object that `reading` waits for; None: nobody waits
    cdef object written_to          # ... `writing`
    cdef object file                # a weak reference to the object whose fd they wait on; None: to none
    cdef bint quiet                 # it tells of room only after a write fell short, as TCP does, so WRITE can stay asked for
    cdef bint hung                  # HANGUP was reported: a short read is not the last
    cdef bint drained               # by the latest read, and nothing was reported since

    cdef bint is_of(self, object file) except -1
    cdef inline bint waited_for(self) noexcept:
        return (self.reading is not None and self.reading.status == state.PENDING) or (
            self.writing is not None and self.writing.status == state.PENDING)
    cdef inline bint level(self) noexcept:
        """True if callbacks are to be called as long as it is ready."""
        return self.reader is not None or self.writer is not None
    cdef int note_read(self, Py_ssize_t n, Py_ssize_t room) noexcept
    @cython.locals(fut=Future)
    cdef int strand(self, int event) except -1
    cdef int strand_closed(self) except -1
    @cython.locals(fut=Future)
    cdef int tell(self, int fired) except -1
    @cython.locals(fut=Future)
    cdef Future end_wait(self, int event)

cdef bint has_fd(object file, int fd) except -1
cdef int run_both(int fired, Handle reader, Handle writer, Step st) except -1
cdef FdWatch obtain(Scheduler loop, int fd)
@cython.locals(found=FdWatch)
cdef FdWatch known_of(Scheduler loop, int fd, object file)
@cython.locals(watch=FdWatch)
cdef FdWatch owned_by(Scheduler loop, object owner)
cdef int wanted(FdWatch watch) noexcept
@cython.locals(events=int, poller=Poller)
cdef int settle(FdWatch watch) except -1
cdef Handle replace(FdWatch watch, int event, Handle new, object owner)
cdef int put(FdWatch watch, int event, Handle callback) except -1
@cython.locals(watch=FdWatch, fut=Future, poller=Poller, before=Future)
cdef FdWatch wait_once(Scheduler loop, object file, int fd, int event, bint quiet, bint anew)
@cython.locals(watch=FdWatch, made=FdWatch)
cdef FdWatch claim(Scheduler loop, object file, int fd)
@cython.locals(loop=Scheduler, poller=Poller)
cdef int leave(FdWatch watch, int event, Future fut) except -1
