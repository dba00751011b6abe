cimport cython
cimport hasten.kernel.clock as clock
cimport hasten.kernel.step as step

cdef class Watch:
    cdef readonly int fd
    cdef readonly unsigned char events  # what is asked for; 0: not registered
    cdef readonly unsigned char fired   # what was harvested and not dispatched yet
    cdef unsigned char queued           # in the ready queue
    cdef unsigned int generation        # tells an old report about a reused fd from a new one
    cdef object __weakref__

    cdef int dispatch(self) except -1
    cdef int batch_ended(self) except -1
    cdef int rescue(self) except -1
    cdef int abandon(self) except -1
    cdef bint make_way(self) except -1

cdef class Poller:
    cdef readonly Py_ssize_t found      # reports of the latest wait() that take() has not handed over yet
    cdef readonly bint sleeping         # it waits, or is about to: wake() must act
    cdef bint stirred                   # something was registered or sent since a poll last showed nothing
    cdef readonly bint lasting          # what is registered may be closed: see contract.py
    cdef readonly Py_ssize_t watching   # how many watches are registered
    cdef public double every            # seconds: how often a loop that has work asks; 0: in each tick
    cdef unsigned long long due         # by kernel/clock: when that is next
    cdef unsigned long long thread      # of the thread that runs the loop; 0: none
    cdef double now(self) noexcept
    cdef inline bint is_due(self) noexcept:
        """True if it is time to ask for events."""
        return self.stirred or clock.reached(self.due)
    cdef int asked(self, double now) except -1
    cdef unsigned long long later(self, double now) noexcept
    cdef int attach(self, unsigned long long thread) except -1
    cdef int detach(self) except -1
    cdef int register(self, Watch watch, int events) except -1
    cdef int modify(self, Watch watch, int events) except -1
    cdef int unregister(self, Watch watch) except -1
    cdef int drained(self, Watch watch, int events) except -1
    cdef Watch watch_of(self, int fd)
    cpdef list all_watches(self)
    cdef int wait(self, double timeout) except -1
    cdef Watch take(self)
    cdef int wake(self) except -1
