cimport cython
cimport hasten.core.future as futures
cimport hasten.core.handle as handle
cimport hasten.core.probe as probes
cimport hasten.core.ready as ready
cimport hasten.core.state as state
cimport hasten.core.task as tasks
from hasten.core.batches cimport Batches
from hasten.core.departures cimport Departures
from hasten.core.future cimport Future
from hasten.core.handle cimport Handle, TimerHandle
from hasten.core.probe cimport Probe
from hasten.core.ready cimport Ready
from hasten.core.roster cimport Roster
from hasten.core.task cimport Task
from hasten.core.timers cimport Timers
from hasten.poll.contract cimport Poller, Watch
cimport hasten.kernel.clock as clock
cimport hasten.kernel.interpreter as interpreter
cimport hasten.kernel.step as step
from hasten.kernel.step cimport Step
from hasten.kernel.workshop cimport Workshop

cdef double _NEVER              # seconds; in the place of a time

cdef class Scheduler(Batches):
    cdef readonly Roster _roster
    cdef readonly Timers _timers
    cdef readonly Poller _poller
    cdef Workshop workshop          # what its reads and writes use again and again
    cdef public bint _stopping
    cdef readonly bint _closed
    cdef bint plain                 # create_task() is not overridden by a subclass
    cdef object task_factory
    cdef bint eager                 # the task factory is one of tasks.eager_factories
    cdef unsigned long long share_due   # by kernel/clock: when other threads are to have the interpreter's lock
    cdef bint own_clock                 # time() was replaced, on the class or on the object
    cdef int idle                       # -1: nobody attends; 1: it sleeps for a while, not for ever; 2: that was told
    cdef unsigned int clock_version     # of the class, when that was last looked at
    cdef public Future _until           # the loop stops when this is done; or None
    cdef readonly unsigned long long _ticks, _polls
    cdef unsigned long long transports, transports_made     # that are open; that there were ever

    cdef int _fire(self, Watch watch, int events) except -1
    cdef int tick(self) except -1
    @cython.locals(poller=Poller)
    cdef int look(self) except -1
    @cython.locals(poller=Poller, queue=Ready, timers=Timers, now=double, seconds=double)
    cdef int sleep(self) except -1
    @cython.locals(probe=Probe)
    cdef int tell_of_poll(self, double timeout) except -1
    @cython.locals(h=TimerHandle, timers=Timers)
    cdef int settle(self) except -1
    cdef int share(self) except -1
    @cython.locals(poller=Poller, now=double, real=double, probe=Probe)
    cdef int reap(self) except -1
    @cython.locals(poller=Poller, queue=Ready, watch=Watch, end=size_t)
    cdef bint harvest(self) except -1
    @cython.locals(h=TimerHandle, timers=Timers, queue=Ready)
    cdef int expire(self, double now) except -1
    @cython.locals(timers=Timers)
    cdef double patience(self, double now) noexcept
    cdef inline bint odd_clock(self) noexcept:
        """True if time() is replaced, or if the class was changed since that was last checked."""
        return self.own_clock or interpreter.class_version(self) != self.clock_version or self.clock_version == 0
    cdef inline double now(self) except? -1.0:
        return self.ask_clock() if self.odd_clock() else self._poller.now()
    cdef inline bint running(self) noexcept:
        return self._poller.thread != 0
    cdef double ask_clock(self) except? -1.0
    cdef int run_ticks(self, bint once) except -1
    @cython.locals(h=TimerHandle)
    cdef TimerHandle _call_at(self, double when, object callback, tuple args, object context, str method)
    cdef int check_ready(self, object callback, str method) except -1
    cdef Handle post_traced(self, object callback, tuple args, object context)
    cdef object make_task(self, object coro, object name, object context, object eager_start, dict more)
