cimport cython
from cpython.object cimport PyObject
cimport hasten.core.handle as handle
cimport hasten.core.probe as probes
cimport hasten.core.ready as ready
cimport hasten.core.state as state
cimport hasten.core.waiters as waiters
from hasten.core.handle cimport Handle
from hasten.core.ready cimport Ready
cimport hasten.kernel.step as step
from hasten.kernel.step cimport Awaitable

cdef class Future:
    cdef PyObject *attributes       # stands first: see step.lazy_attributes()
    cdef readonly object _loop
    cdef Ready queue                # the loop's: a future schedules without knowing the loop. None: it is no loop of ours
    cdef int status                 # state.State
    cdef unsigned char blocking     # asyncio's handshake: it was just yielded, and the task that gets it may wait for it
    cdef unsigned char log_tb       # an exception was set and has not been retrieved
    cdef object outcome             # the result, once FINISHED without an exception
    cdef object error               # the exception, once FINISHED with one; of a cancelled task, until raised once
    cdef object error_tb            # its traceback when it was set: each raise starts from there
    cdef object waiter              # the first that waits (a task, or a Handle without its arguments), or what collects its result
    cdef unsigned char collected    # waiter is a future that collects: child_done() is called
    cdef list callbacks             # the other waiters, in the order in which they came; or None
    cdef object cancel_message
    cdef readonly object _source_traceback      # where it was made; debug mode only
    cdef public object _asyncio_awaited_by      # set | None: what waits for it by other means, for the call graph
    cdef object __weakref__

    cdef bint do_cancel(self, object msg) except -1
    cdef object take_cancelled_error(self)
    cdef object take_failure(self)
    cdef bint finish(self, object result) except -1
    cdef bint fail(self, object exception) except -1
    cdef inline bint guarded(self) noexcept:
        # the loop has to be asked before a waiter is woken: it is not ours, in debug mode, or closed
        return self.queue is None or self.queue.guarded
    cdef inline int tell_of(self, int event) except -1:
        """Tell those who observe the loop of this, a task."""
        return 0 if self.queue is None else self.queue.tell_of(event, self)
    cdef inline int tell_of_step(self, object future) except -1:
        return 0 if self.queue is None else self.queue.tell_of_step(self, future)
    cdef int check_use(self) except -1
    cdef bint abandoned(self) except -1
    cdef int schedule(self) except -1
    @cython.locals(h=Handle)
    cdef int wake(self, object entry) except -1
    @cython.locals(queue=Ready, others=list, i=Py_ssize_t)
    cdef int schedule_all(self) except -1
    cdef int call_back(self, object fn, object context) except -1
    cdef bint park(self, object entry) except -1
    cdef Py_ssize_t remove_all(self, set gone) except -1
    cdef list everybody(self)
    cdef int tell_collector(self) except -1
    @cython.locals(f=Future)
    cdef int collect(self, object child) except -1
    cdef int child_done(self, object child) except -1

@cython.final
cdef class FutureIter(Awaitable):
    cdef Future future              # None once it has ended

@cython.locals(spare=Awaitable)
cdef FutureIter new_iter()

@cython.locals(f=Future)
cdef Future new_future(object loop, Ready queue)
