cimport cython
cimport hasten.primitives.many_futures as many_futures
cimport hasten.primitives.spawning as spawning
cimport hasten.core.native as native
cimport hasten.core.outcomes as outcomes
cimport hasten.kernel.step as step
from cpython.object cimport PyObject
from hasten.primitives.many_futures cimport Collector
from hasten.core.future cimport Future
from hasten.core.native cimport NativeCoroutine
from hasten.core.scheduler cimport Scheduler

@cython.final
cdef class Children:
    cdef list order             # the tasks, oldest first; None before `first`
    cdef Py_ssize_t first
    cdef dict loose             # by id(), as an __eq__ may be anything; None as long as they end in the order they came

    cdef Py_ssize_t count(self) except -1
    cdef int add(self, object task) except -1
    @cython.locals(first=Py_ssize_t, size=Py_ssize_t)
    cdef int discard(self, object task) except -1
    cdef int scatter(self) except -1
    @cython.locals(at=Py_ssize_t, first=Py_ssize_t)
    cdef bint bring_forward(self, object task) except -1
    cdef list members(self)

cdef class Members

cdef class TaskGroup:
    cdef PyObject *attributes           # stands first: see step.lazy_attributes()
    cdef public bint _entered
    cdef public bint _exiting
    cdef public bint _aborting          # the children have been cancelled; no new ones
    cdef public bint _cancel_on_enter
    cdef public bint _parent_cancel_requested   # by us, so we take it back
    cdef public object _loop
    cdef public object _parent_task
    cdef Children children              # whose end we have not been told of
    cdef public list _errors            # None once it is all over
    cdef public object _base_error
    cdef public object _on_completed_fut
    cdef Members members
    cdef object __weakref__

    cdef int enter(self) except -1
    @cython.locals(m=Members)
    cdef Members make_members(self)
    cdef int check_open(self, object coro) except -1
    cdef object abort(self)
    cdef int task_done(self, object task) except -1
    cdef int child_failed(self, object task, object exc) except -1
    cdef object verdict(self, object exc, object outside, object latest)
    @cython.locals(members=Members)
    cdef int forget(self) except -1

@cython.final
cdef class Members(Collector):
    cdef TaskGroup group

@cython.final
cdef class GroupEntry(NativeCoroutine):
    cdef TaskGroup group

@cython.final
cdef class GroupExit(NativeCoroutine):
    cdef TaskGroup group
    cdef object exc                     # that leaves the block
    cdef object outside                 # a cancellation that came from outside, as far as we know
    cdef object latest                  # the latest of all

    @cython.locals(group=TaskGroup)
    cdef int wait_on(self) except -2
    @cython.locals(group=TaskGroup)
    cdef int conclude(self) except -2
    @cython.locals(group=TaskGroup)
    cdef int end(self, object verdict) except -2
    cdef int abort(self, TaskGroup group) except -1

@cython.locals(turn=cython.bint)
cdef int chain(object raised, object handled) except -1
