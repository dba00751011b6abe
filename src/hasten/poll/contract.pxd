cimport cython

cdef class Watch:
    cdef readonly int fd
    cdef readonly int events            # what is asked for; 0: not registered
    cdef readonly int fired             # what was harvested and not dispatched yet
    cdef bint queued                    # in the ready queue
    cdef unsigned int generation        # tells a stale report for a reused fd apart
    cdef object __weakref__

    cdef int dispatch(self) except -1

cdef class Poller:
    cdef list harvest          # watches that fired in the latest wait(), each once
    cdef bint sleeping                  # it waits, or is about to: wake() must act
    cdef bint stirred                   # something was registered or sent since a poll has shown nothing
    cdef public double every            # seconds: how often a loop that has work asks
    cdef int register(self, Watch watch, int events) except -1
    cdef int modify(self, Watch watch, int events) except -1
    cdef int unregister(self, Watch watch) except -1
    cdef int drained(self, Watch watch, int events) except -1
    cdef Watch watch_of(self, int fd)
    cdef list all_watches(self)
    cdef int wait(self, double timeout) except -1
    cdef int wake(self) except -1
    cdef int note(self, Watch watch, int events) except -1
