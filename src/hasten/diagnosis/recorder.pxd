cimport cython
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from hasten.core.future cimport Future
from hasten.core.handle cimport Handle
from hasten.core.probe cimport Observer, Probe
from hasten.core.task cimport Task
cimport hasten.core.probe as probes
cimport hasten.kernel.clock as clock
cimport hasten.kernel.step as step
from hasten.kernel.step cimport Awaitable, Step

cdef enum:
    BEGINS, ENDS, POLLS, POLLED, MADE, PARKED, WOKEN, ENDED, STEP, STEPPED, CALL, CALLED

cdef struct Event:
    unsigned long long count        # by kernel/clock
    unsigned long long task         # its number; 0: none
    unsigned long long other
    int kind

@cython.final
cdef class Title:
    cdef object name, coroutine, origin
    cdef int origin_at
    cpdef tuple shown(self)

cdef class Recorder(Observer):      # _hear() does without the methods that a subclass would override
    cdef Event *ring
    cdef list labels                # of each event, where it has one
    cdef readonly size_t mask       # how many there are, less one
    cdef readonly size_t used       # events, ever
    cdef readonly str thread        # the name of the thread that runs the loop

    @cython.locals(labels=list)
    cdef int make_ring(self, size_t size) except -1
    @cython.locals(about=cython.ulonglong)
    cdef int _hear(self, Probe probe, int event, object entry, object other) except -1
    cdef int note(self, int kind, unsigned long long task, unsigned long long other) except -1
    cdef int label(self, int kind, unsigned long long task, object label) except -1
    cdef object event(self, size_t at)
    cdef inline int reserve(self, size_t size) except -1:
        cdef Event *ring = <Event *>PyMem_RawMalloc(size * sizeof(Event))
        if ring == NULL:
            raise MemoryError
        self.release()
        self.ring = ring
        return 0
    cdef inline int release(self) noexcept:
        PyMem_RawFree(self.ring)
        self.ring = NULL
        return 0
    cdef inline int put(self, size_t at, int kind, unsigned long long task, unsigned long long other) noexcept:
        cdef Event *event = &self.ring[at]
        if self.ring == NULL:       # __init__() was not called
            return 0
        event.count = clock.count()
        event.kind = kind
        event.task = task
        event.other = other
        return 0
    cdef inline tuple get(self, size_t at):
        cdef Event *event = &self.ring[at]
        if self.ring == NULL:
            return (0, 0, 0, 0)
        return (event.count, event.kind, event.task, event.other)

cpdef unsigned long long counter() noexcept
cpdef unsigned long long number(object thing) noexcept
@cython.locals(st=Step)
cdef unsigned long long current(object task) except? 0
@cython.locals(ours=Task, made=Title)
cpdef Title title(object task)
cdef str text(object name)
cdef str kind_title(object thing)
cdef str coroutine_title(object coro)
cdef str callback_title(object entry)
cdef object _name_of_class, _plain_text
