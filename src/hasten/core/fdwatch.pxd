cimport cython
cimport hasten.poll.events as ev
from hasten.core.handle cimport Handle
from hasten.core.scheduler cimport Scheduler
from hasten.kernel.step cimport Step
from hasten.poll.contract cimport Watch

@cython.final
cdef class FdWatch(Watch):
    cdef Scheduler loop
    cdef Handle reader              # None: not asked for
    cdef Handle writer
    cdef object owner               # the object that add_reader() or add_writer() was given; None for a watch of our own
cdef int run_both(int fired, Handle reader, Handle writer, Step st) except -1
cdef FdWatch obtain(Scheduler loop, int fd)
@cython.locals(watch=FdWatch)
cdef FdWatch owned_by(Scheduler loop, object owner)
@cython.locals(events=int)
cdef int settle(FdWatch watch) except -1
cdef Handle replace(FdWatch watch, int event, Handle new, object owner)
cdef int put(FdWatch watch, int event, Handle callback) except -1
