cimport cython
cimport hasten.core.future as futures
cimport hasten.core.handle as handle
cimport hasten.core.ready as ready
cimport hasten.core.task as tasks
from hasten.core.future cimport Future
from hasten.core.handle cimport Handle, TimerHandle
from hasten.core.ready cimport Ready
from hasten.core.roster cimport Roster
from hasten.core.task cimport Task
from hasten.core.timers cimport Timers
from hasten.poll.contract cimport Poller, Watch
cimport hasten.kernel.step as step
from hasten.kernel.step cimport Step

cdef class Scheduler:
    cdef readonly Ready _ready
    cdef readonly Step _step
    cdef readonly Roster _roster
    cdef readonly Timers _timers
    cdef readonly Poller _poller
    cdef public bint _stopping
    cdef readonly bint _closed
    cdef bint debug
    cdef bint plain                 # create_task() is not overridden by a subclass
    cdef readonly unsigned long long _thread_id     # of the thread that runs the loop, 0: none
    cdef public double slow_callback_duration       # seconds; debug mode tells of longer ones
    cdef object task_factory
    cdef bint eager                 # that is one of tasks.eager_factories
    cdef double polled                  # when the poller was asked last
    cdef unsigned int quiet             # ticks since then
    cdef readonly unsigned long long _ticks, _polls

    cdef int assemble(self) except -1
    cdef int _fire(self, Watch watch, int events) except -1
    @cython.locals(timeout=double)
    cdef int tick(self) except -1
    @cython.locals(now=double)
    cdef int look(self) except -1
    @cython.locals(poller=Poller)
    cdef int poll(self, double timeout) except -1
    @cython.locals(h=TimerHandle, timers=Timers)
    cdef int expire(self, double now) except -1
    @cython.locals(h=TimerHandle, left=double)
    cdef double until_timer(self) except? -2.0
    @cython.locals(left=size_t, queue=Ready, st=Step)
    cdef int run_batch(self) except -1
    @cython.locals(left=size_t, queue=Ready, start=double, took=double)
    cdef int run_batch_slowly(self) except -1
    @cython.locals(h=TimerHandle)
    cdef TimerHandle _call_at(self, double when, object callback, tuple args, object context, str method)
    cdef int run_item(self, object item, int tag) except -1
    cdef int check_ready(self, object callback, str method) except -1
    cdef Handle post_traced(self, object callback, tuple args, object context)
    cdef object make_task(self, object coro, object name, object context, object eager_start, dict more)

@cython.locals(item=Watch)
cdef int enqueue(Ready queue, list harvest) except -1

@cython.locals(number=double)
cdef double seconds(object value, str method, str what) except? -2.0
