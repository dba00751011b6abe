cimport cython
cimport hasten.kernel.step as step

cdef enum OfLoop:
    LOOP_BEGINS, LOOP_ENDS, POLL_BEGINS, POLL_ENDS, BATCH_BEGINS, BATCH_ENDS

cdef enum OfEntry:
    MADE, PARKED, WOKEN, ENDED, STEP_BEGINS, STEP_ENDS, CALLBACK_BEGINS, CALLBACK_ENDS

cdef enum Heard:
    POLLS = 1
    BATCHES = 2
    ENTRIES = 4

cdef class Probe

cdef class Observer:
    cdef public bint detailed               # it is told of tasks, batches and callbacks, too; set before it is attached
    cdef int hears                          # of these kinds of events, beside the beginning and the end of runs

    cpdef loop_begins(self, object loop)
    cpdef loop_ends(self, object loop)
    cpdef poll_begins(self, object loop, double timeout)
    cpdef poll_ends(self, object loop, double now)
    cpdef batch_begins(self, object loop, Py_ssize_t count)
    cpdef batch_ends(self, object loop)
    cpdef task_made(self, object task)
    cpdef task_parked(self, object task, object future)
    cpdef task_woken(self, object task, object future)
    cpdef task_ended(self, object task)
    cpdef step_begins(self, object task)
    cpdef step_ends(self, object task)
    cpdef callback_begins(self, object entry)
    cpdef callback_ends(self, object entry)
    cdef int _hear(self, Probe probe, int event, object entry, object other) except -1

@cython.locals(found=cython.int, kind=cython.int)
cdef int ask(Observer observer) except -1

cdef class Probe:
    cdef object loop
    cdef readonly tuple observers
    cdef tuple listening                    # those that hear of entries
    cdef readonly tuple guests              # those that observe every loop: they are here while it runs
    cdef Observer only                      # if there is one of them
    cdef object complain                     # called with what an observer raises
    cdef bint inside                        # an observer is being told: what happens now is not
    cdef readonly bint detailed             # at least one observer is
    cdef int hears                          # at least one observer does
    @cython.locals(told=Observer, kept=list, invited=list, observers=tuple, listening=tuple, guests=tuple, only=Observer)
    cdef bint replace(self, tuple before, Observer observer, bint wanted, bint guest) except -1
    cdef bint has(self, Observer observer) except -1
    cdef bint is_guest(self, Observer observer) except -1
    cdef int failed(self, Observer observer, object exc) except -1
    @cython.locals(observer=Observer, observers=tuple, wanted=cython.int)
    cdef int of_loop(self, int event, double number) except -1
    @cython.locals(observer=Observer)
    cdef int of_entry(self, int event, object entry, object other) except -1
    @cython.locals(listening=tuple)
    cdef int tell_all(self, int event, object entry, object other) except -1
