cimport cython
from cpython.ref cimport PyObject

cdef extern from "hasten.h":
    ctypedef struct hasten_contexts:
        PyObject *scratch
        PyObject *inside
    ctypedef struct hasten_isolation:
        pass
    void _isolate "hasten_isolate"(hasten_isolation *own) noexcept
    void _rejoin "hasten_rejoin"(hasten_isolation *own) noexcept
    # How a send, throw or call ended. take_value() hands the reference over: call it exactly once.
    ctypedef struct Outcome "hasten_outcome":
        PyObject *value
        PyObject *context       # the context in which it ran, if that is no longer the snapshot; else NULL
        int kind
    object take_value "hasten_outcome_value"(Outcome out)
    object take_context "hasten_outcome_context"(Outcome out)
    Outcome _send "hasten_send"(object coro, object ctx) noexcept
    Outcome _throw "hasten_throw"(object coro, object ctx, object exc, object name) noexcept
    Outcome _call "hasten_call"(object ctx, object cb, object args) noexcept
    object copy_context "PyContext_CopyCurrent"()
    object context_copy "PyContext_Copy"(object ctx)
    bint is_native_coroutine "PyCoro_CheckExact"(object) noexcept
    double monotonic "hasten_monotonic"() noexcept
    bint is_callable "hasten_is_callable"(object) noexcept
    int same_callback "hasten_same_callback"(object a, object b) noexcept
    int may_be_method "hasten_may_be_method"(object f, object o) noexcept
    int context_enter "PyContext_Enter"(object ctx) except -1
    int context_exit "PyContext_Exit"(object ctx) except -1
    # An exception's own fields, whatever its class says under these names.
    bint is_instance "hasten_is_instance"(object obj, object cls) noexcept
    bint is_subclass "hasten_is_subclass"(object cls, object base) noexcept
    object traceback_of "hasten_traceback"(object exc)
    int set_traceback "hasten_set_traceback"(object exc, object tb) except -1
    object context_of "hasten_context"(object exc)
    int set_context "hasten_set_context"(object exc, object context) except -1
    int set_cause "hasten_set_cause"(object exc, object cause) except -1
    object _take_sole "hasten_take_sole"(PyObject **at)
    void _put "hasten_put"(PyObject **at, object o) noexcept

cdef extern from "attributes.h":
    # For __cinit__() of a class with Cython's `cdef dict __dict__`, which is made for each new object: the empty dict goes.
    # Python makes one when the first attribute is set, and calls methods faster where there is none.
    void drop_dict "hasten_drop_dict"(object o) noexcept

cpdef bint ends_loop(object exc) noexcept

cdef enum Kind:
    RAISED = -1
    RETURNED = 0
    YIELDED = 1

cdef enum Spare:                # the kinds of which a loop keeps one that has ended: see take_spare()
    SPARE_WAIT = 0              # what `await future` drives
    SPARE_SLEEP = 1
    SPARE_GET = 2               # of a queue
    SPARE_PUT = 3
    SPARES = 4

cdef PyObject **_spares() noexcept

@cython.final
cdef class Step:
    """One per loop: sends into coroutines, calls callbacks, publishes the current task."""
    cdef PyObject *current      # the task published as current, borrowed: the ready queue or a caller holds it
    cdef object loop            # None once it is closed
    cdef Py_hash_t loop_hash
    cdef hasten_contexts contexts
    cdef void *table            # a hint: the loop's place in asyncio's dict of current tasks
    cdef Py_ssize_t at
    cdef PyObject *spares[4]    # by Spare; owned. They refer to nothing, so the collector need not visit them

    cdef inline Outcome send(self, object coro, object ctx) noexcept:
        return _send(coro, ctx)
    cdef inline Outcome throw(self, object coro, object ctx, object exc) noexcept:
        return _throw(coro, ctx, exc, _name_throw)
    cdef inline Outcome call(self, object ctx, object cb, object args) noexcept:
        return _call(ctx, cb, args)
    cdef inline int enter(self, object task) except -1:
        if self.current != <PyObject *>task:
            self.publish(task)
        return 0
    cdef inline bint publishes(self, object task) noexcept:
        return self.current == <PyObject *>task
    cdef inline int leave(self) except -1:
        if self.current != NULL:
            self.publish(None)
        return 0
    cdef inline bint runs(self) noexcept:
        """True if its loop runs in this thread."""
        return _spares() == &self.spares[0]
    cdef inline object published(self):
        """Return the task that is published as current, or None."""
        return None if self.current == NULL else <object>self.current
    cdef inline bint busy(self) noexcept:
        return self.current != NULL
    cdef inline int forget(self) noexcept:
        """Leave it to others to take back what is published now."""
        self.current = NULL
        return 0
    cdef int publish(self, object task) except -1
    cdef Outcome call_shared(self, object context, object cb, object args) noexcept
    cdef inline int step_out(self) except -1:
        """Leave the context that call_shared() stayed in: what runs next enters none of its own."""
        if self.contexts.inside != NULL:
            self._step_out()
        return 0
    cdef int _step_out(self) except -1
    cdef int forget_contexts(self) except -1
    cdef object swap(self, object task)
    cdef int detach(self) except -1

cdef object _name_throw
cdef int drop_attributes(object obj) except -1

cdef inline bint ran_apart(Outcome out) noexcept:
    """True if take_context() has something to return; it must be called then."""
    return out.context != NULL
cdef object snapshot()
cdef object origin(int *lasti)
cdef object origin_place(object code, int lasti)

cpdef object running_loop()
cpdef object set_running_loop(object loop, Step owner=*)

cdef enum Stage:
    FRESH = 0
    SUSPENDED = 1
    ENDED = 2

cdef class Awaitable:
    """A native awaitable: a subclass says in `resume` what one send does.

    It is entered by send, throw, next and close only, which are the same for all and let nobody in while it runs. So
    hooks can rely on their own fields, whatever runs meanwhile.
    """
    cdef object value           # yielded, returned or raised by the latest hook
    cdef int stage              # FRESH: not started; ENDED; SUSPENDED, or an odd number of a subclass's own
    cdef unsigned char running  # a hook runs
    cdef int resume(self) except -2
    cdef int resume_throw(self, object exc) except -2
    cdef int shut(self) except -2
    cdef bint fresh(self) except -1
    cdef int end_it(self) except -1

# Where an await finds at once what it asks for, making and freeing its object is most of the cost. So the object that ended
# last serves the next await, once there is no other reference to it. Each loop has its own, and only the loop's thread
# reaches them: no object can be taken by two threads. (Without the interpreter's lock, hasten_sole() would have to ask
# PyUnstable_Object_IsUniquelyReferenced(): others may hold what has ended.)
cdef inline Awaitable take_spare(int kind):
    """Return one of its kind, as if new; None if there is none, or no hasten loop runs in this thread."""
    cdef PyObject **place = _spares()
    if place == NULL:
        return None
    spare = <Awaitable>_take_sole(place + kind)
    if spare is not None:
        spare.stage = FRESH
    return spare

cdef inline int keep_spare(int kind, Awaitable ended) noexcept:
    """Keep it for the next take_spare(). It holds nothing any more but the `value` that it is about to return."""
    cdef PyObject **place = _spares()
    if place != NULL:
        _put(place + kind, ended)
    return 0
