cimport cython
cimport hasten.core.probe as probes
cimport hasten.core.ready as ready
cimport hasten.core.state as state
cimport hasten.core.waiters as waiters
from hasten.core.future cimport Future
from hasten.core.ready cimport Ready
from hasten.core.roster cimport Node, Roster
cimport hasten.kernel.step as step
from hasten.kernel.step cimport Outcome, Step

cdef class Task(Future):
    cdef readonly object _coro      # None once it completed eagerly
    cdef readonly object _context
    cdef readonly object _fut_waiter    # what it is parked on
    cdef object name                # None: "Task-<number>", made when it is asked for
    cdef object pending_error       # to be thrown at the next step
    cdef object origin              # code object of the frame that made it
    cdef int origin_at              # and the instruction there
    cdef unsigned int _num_cancels_requested
    cdef unsigned char must_cancel  # cancelled while not parked: thrown at the next step
    cdef unsigned char foreign      # on a loop that is not ours
    cdef unsigned char log_destroy_pending
    cdef Step stepper               # the loop's
    cdef Roster roster              # the loop's: holds the task until it is done
    cdef Node node                  # its place there
    cdef unsigned long long number

    @cython.locals(t=Task)
    cdef bint do_cancel(self, object msg) except -1
    @cython.locals(t=Task, seen=Task, steps=Py_ssize_t, limit=Py_ssize_t)
    cdef Task last_in_line(self)
    cdef int run(self) except -1
    @cython.locals(st=Step, out=Outcome)
    cdef int step_once(self, object context) except -1
    cdef int start(self, object name, object context) except -1
    @cython.locals(stepper=Step)
    cdef int start_eagerly(self) except -1
    cdef int first_step(self) noexcept
    cdef inline int step_apart(self) noexcept:
        """Call first_step() so that it does not see the exception that its caller handles."""
        cdef step.hasten_isolation own
        cdef int raised
        step._isolate(&own)
        raised = self.first_step()
        step._rejoin(&own)
        return raised
    @cython.locals(f=Future)
    cdef object take_wake_error(self)
    cdef object take_cancellation(self, object error)
    @cython.locals(f=Future)
    cdef int wait_for(self, object y) except -1
    cdef int wait_for_other(self, object y) except -1
    cdef object park_on(self, object y)
    cdef int cancel_waiter(self) except -1
    cdef int step_again(self, object error) except -1
    cdef int end(self, int kind, object value) except -1
    cdef int end_by(self, object exc) except -1
    cdef int schedule_guarded(self) except -1
    cdef int restep(self) except -1
    cdef int stepped_too_late(self) except -1
    cdef inline int enlist(self) noexcept:
        return self.roster.add(&self.node, self)
    cdef inline int delist(self) noexcept:
        return self.roster.remove(&self.node)
    cdef inline int note_origin(self) except -1:
        self.origin = step.origin(&self.origin_at)
        return 0

@cython.locals(t=Task)
cdef Task spawn(object loop, Ready queue, Roster roster, Step st, object coro, object name, object context,
                bint eager)

cdef unsigned long long _numbers
