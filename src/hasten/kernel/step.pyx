"""Sending into coroutines, the current task, native awaitables.

The plain twin is step.py. Sources: CPython's Objects/genobject.c (PyIter_Send), Modules/_asynciomodule.c
(where each version keeps the current task).
"""
import asyncio
import os
import sys
import warnings
import _asyncio
from cpython.ref cimport Py_DECREF, Py_INCREF
from types import CodeType, TracebackType

cdef extern from "internals.h":
    PyObject **hasten_task_slot() noexcept
    PyObject *_origin "hasten_origin"(int *lasti) noexcept
    void hasten_skip(object filename) noexcept

cdef extern from "contexts.h":
    object hasten_snapshot()
    Outcome hasten_call_shared(hasten_contexts *c, object snapshot, object cb, object args) noexcept
    void hasten_step_out(hasten_contexts *c) noexcept
    void hasten_forget_contexts(hasten_contexts *c) noexcept
    void hasten_drop_contexts(hasten_contexts *c) noexcept

cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030E0000
    #define HASTEN_TASK_SLOT 1
    static inline int hasten_publish_dict(PyObject *d, PyObject *k, PyObject *v, Py_hash_t h, void **t, Py_ssize_t *at)
    { return 0; }
    #else
    #define HASTEN_TASK_SLOT 0
    static inline int hasten_publish_dict(PyObject *d, PyObject *k, PyObject *v, Py_hash_t h, void **t, Py_ssize_t *at) {
        if (v == Py_None) {
            if (_PyDict_DelItem_KnownHash(d, k, h) == 0) return 0;
            if (!PyErr_ExceptionMatches(PyExc_KeyError)) return -1;
            PyErr_Clear();      /* the program called asyncio._leave_task() itself */
            return 0;
        }
        return hasten_replace(d, k, v, h, t, at);
    }
    #endif
    static inline void hasten_swap_slot(PyObject **slot, PyObject *v) {
        PyObject *old = *slot;
        *slot = v == Py_None ? NULL : Py_NewRef(v);
        Py_XDECREF(old);
    }
    """
    bint TASK_SLOT "HASTEN_TASK_SLOT"
    int publish_dict "hasten_publish_dict"(object d, object k, object v, Py_hash_t h,
                                            void **table, Py_ssize_t *at) noexcept
    void swap_slot "hasten_swap_slot"(PyObject **slot, object v) noexcept

cdef extern from "running.h":
    PyObject *hasten_get_running() noexcept
    PyObject **hasten_get_spares() noexcept
    void hasten_drop_spares(PyObject **spares, int count) noexcept
    void hasten_set_running(PyObject *loop, PyObject *stepper, PyObject **spares) noexcept

cdef extern from "hasten.h":
    void hasten_raise(object exc) noexcept
    void hasten_raise_thrown(object exc) noexcept
    void hasten_refuse_entry() noexcept
    void hasten_refuse_second() noexcept
    object hasten_normalize(object cls, object value)
    object hasten_fetch_exc()
    void hasten_patch_awaitable(object t, PyObject *(*aw)(PyObject *) except? NULL,
                                PyObject *(*it)(PyObject *) except? NULL,
                                int (*snd)(PyObject *, PyObject *, PyObject **) except -1)
    void hasten_seal(object t) noexcept
    void hasten_patch_nothing(object t) noexcept
    int hasten_add_methods(object t, PyObject *(*send)(PyObject *, PyObject *) except? NULL,
                           PyObject *(*throw)(PyObject *, PyObject *) except? NULL) except -1

cdef extern from "stopping.h":
    void hasten_stop(object val, bint by_next) noexcept
    int hasten_stop_init() except -1

cdef extern from "attributes.h":
    int hasten_lazy_attributes(object cls) except -1
    void hasten_drop_attributes(object o) noexcept

cdef extern from "naming.h":
    void hasten_refuse_await(object cls) noexcept

cdef extern from "pool.h":
    void hasten_pool_add(object type, Py_ssize_t limit) noexcept
    void hasten_gc_find() noexcept

cdef object _current_tasks = getattr(_asyncio, "_current_tasks", None)
cdef object _swap_current = getattr(_asyncio, "_swap_current_task", None)
cdef object _stdlib_set_running = asyncio._set_running_loop
cdef object _stdlib_get_running = asyncio._get_running_loop
_name_throw = "throw"


cdef bint _slot_is_right():
    """True if the running interpreter has the layout that this module was built for."""
    if not TASK_SLOT:
        return False
    cdef PyObject **slot = hasten_task_slot()
    cdef bint right = slot[0] == NULL
    loop = object()
    before = _stdlib_get_running()
    if before is not None:      # imported inside a running loop: a task may be current, leave it alone
        current = asyncio.current_task(before)
        return slot[0] == (NULL if current is None else <PyObject *>current)
    _stdlib_set_running(loop)
    try:
        _asyncio._enter_task(loop, loop)
        right = right and slot[0] == <PyObject *>loop
        _asyncio._leave_task(loop, loop)
    finally:
        _stdlib_set_running(None)
    return right and slot[0] == NULL


cdef bint use_slot = _slot_is_right()
cdef bint use_dict = not TASK_SLOT and type(_current_tasks) is dict


cdef inline int write_current(Step step, object task) except -1:
    cdef PyObject *before = step.current
    # first, since what is dropped below may run any code
    step.current = NULL if task is None else <PyObject *>task
    if use_slot:
        swap_slot(hasten_task_slot(), task)
    elif use_dict:
        # without memory for it, the task that was published before stays so
        if (task is not None or before != NULL) and publish_dict(
            _current_tasks, step.loop, task, step.loop_hash, &step.table, &step.at
        ) < 0:
            if step.current == <PyObject *>task:
                step.current = before
            return -1
    elif _swap_current is not None:
        _swap_current(step.loop, task)
    else:
        if before != NULL:
            asyncio.tasks._leave_task(step.loop, <object>before)
        if task is not None:
            asyncio.tasks._enter_task(step.loop, task)
    return 0


cdef class Step:
    def __init__(self, loop):
        self.loop = loop
        self.loop_hash = object.__hash__(loop)

    cdef int publish(self, object task) except -1:
        """Make `task` (or None) the one that current_task() returns."""
        cdef PyObject *current = NULL if task is None else <PyObject *>task
        if self.loop is None:
            return 0
        write_current(self, task)
        if self.current != current:     # what was there before went, and a destructor of its has ticked the loop
            write_current(self, task)
        return 0

    cdef object swap(self, object task):
        """Publish `task`; return what was published before (also by others) or None."""
        cdef PyObject **slot
        if self.loop is None:
            return None
        if use_slot:
            slot = hasten_task_slot()
            before = <object>slot[0] if slot[0] != NULL else None
        elif use_dict:
            before = _current_tasks.get(self.loop)
        else:
            before = asyncio.current_task(self.loop)
        if before is not None and self.current == NULL:
            self.current = <PyObject *>before
        if task is not before:
            self.publish(task)
        return before

    cdef int detach(self) except -1:
        """Let go of the loop, which is closed, and publish nothing from now on."""
        self.leave()
        self.forget_contexts()
        hasten_drop_spares(self.spares, SPARES)
        self.loop = None
        return 0

    cdef Outcome call_shared(self, object context, object cb, object args) noexcept:
        """Do as call() in a copy of a snapshot(); take_context() returns that copy where it matters afterwards."""
        return hasten_call_shared(&self.contexts, context, cb, args)

    cdef int _step_out(self) except -1:
        hasten_step_out(&self.contexts)
        return 0

    cdef int forget_contexts(self) except -1:
        """Forget the contexts that are kept, before a long wait or the end."""
        hasten_forget_contexts(&self.contexts)
        return 0

    def __dealloc__(self):
        hasten_drop_spares(self.spares, SPARES)
        hasten_drop_contexts(&self.contexts)


cdef object snapshot():
    """Return the current context for call_shared(). It may be shared: do not enter it or hand it out."""
    return hasten_snapshot()


# ---- where something was made ---------------------------------------------------------------

def skip_origin(*functions):
    """Skip functions that only hand a coroutine on, and their modules, in the search for its place of creation."""
    for f in functions:
        code = getattr(f, "__code__", None)
        if isinstance(code, CodeType):
            hasten_skip(code.co_filename)


cdef object origin(int *lasti):
    """Return the code of the innermost Python frame that is not one of skip_origin()'s, or None."""
    cdef PyObject *code = _origin(lasti)
    if code == NULL:
        return None
    res = <object>code
    Py_DECREF(res)
    return res


cdef object origin_place(object code, int lasti):
    """Return (file name, line, function) of what origin() returned, or None."""
    if code is None:
        return None
    line = code.co_firstlineno
    for start, end, number in code.co_lines():
        if start <= lasti < end and number is not None:
            line = number
            break
    return code.co_filename, line, code.co_qualname


# ---- the loop that runs in this thread --------------------------------------------------------

cpdef object running_loop():
    """Return hasten's loop that runs in this thread, or None (another loop may run)."""
    cdef PyObject *loop = hasten_get_running()
    return None if loop == NULL else <object>loop


cpdef object set_running_loop(object loop, Step owner=None):
    """Publish `loop` (or None) to asyncio and to hasten; return what was running before. `owner` is its Step."""
    before = _stdlib_get_running()
    _stdlib_set_running(loop)
    hasten_set_running(NULL if loop is None else <PyObject *>loop, NULL if owner is None else <PyObject *>owner,
                       NULL if owner is None else owner.spares)
    return before


def _after_fork():
    """Forget the running loop in the child of a fork: as in asyncio, no loop runs there."""
    hasten_set_running(NULL, NULL, NULL)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


cpdef bint ends_loop(object exc) noexcept:
    """True for SystemExit and KeyboardInterrupt, by the type alone: `__class__` may be anything."""
    return is_instance(exc, KeyboardInterrupt) or is_instance(exc, SystemExit)


def is_coroutine(obj):
    """Do as asyncio.iscoroutine(), trying a quick test first."""
    return is_native_coroutine(obj) or asyncio.iscoroutine(obj)


# ---- native awaitables ----------------------------------------------------------------------
# send, throw and next go through C slots: an exception passes without a traceback entry of ours,
# and the await chain costs no Python frame.

cdef extern from *:
    """
    /* Without Cython's check for an exception: what ran is to be marked as not running in any case. */
    #define hasten_resume(a) ((a)->__pyx_vtab->resume(a))
    #define hasten_resume_throw(a, exc) ((a)->__pyx_vtab->resume_throw(a, exc))
    #define hasten_shut(a) ((a)->__pyx_vtab->shut(a))
    """
    int hasten_resume(Awaitable a) noexcept
    int hasten_resume_throw(Awaitable a, object exc) noexcept
    int hasten_shut(Awaitable a) noexcept


cdef class Awaitable:
    cdef int resume(self) except -2:
        self.value = None
        return RETURNED

    cdef int resume_throw(self, object exc) except -2:
        self.value = exc
        return RAISED

    cdef int shut(self) except -2:
        self.value = None
        return RETURNED

    cdef bint fresh(self) except -1:
        return False

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):         # for callers by name; the interpreter uses the slot
        return _owned(_checked_step(self))

    def close(self):
        """End it where it is suspended. Raises ValueError if it runs."""
        self.end_it()

    cdef int end_it(self) except -1:
        cdef int kind
        if self.running:
            raise ValueError("coroutine already executing")
        self.running = True
        kind = _left(self, hasten_shut(self))
        value = self.value
        self.value = None
        if kind == YIELDED:
            raise RuntimeError("coroutine ignored GeneratorExit")
        if kind == RAISED:
            raise value
        return 0


cdef PyObject **_spares() noexcept:
    """Return the spares, by kind, of the hasten loop that runs in this thread; NULL if there is none."""
    return hasten_get_spares()


cdef object _as_exception(object args):
    """Return the exception that throw(type[, value[, traceback]]) or throw(exception) means."""
    cdef Py_ssize_t n = len(args)
    if not 1 <= n <= 3:
        raise TypeError(f"throw() takes 1 to 3 arguments, got {n}")
    exc = args[0]
    value = args[1] if n > 1 else None
    tb = args[2] if n > 2 else None
    if n > 1 and sys.version_info >= (3, 12):
        warnings.warn("the (type, exc, tb) signature of throw() is deprecated, "
                      "use the single-arg signature instead.", DeprecationWarning, stacklevel=1)
    if tb is not None and type(tb) is not TracebackType:
        raise TypeError("throw() third argument must be a traceback object")
    if is_subclass(exc, BaseException):
        exc = hasten_normalize(exc, value)
    elif is_instance(exc, BaseException):
        if value is not None:
            raise TypeError("instance exception may not have a separate value")
    else:
        raise TypeError("exceptions must be classes or instances deriving from BaseException, "
                        f"not {type(exc).__name__}")
    if tb is not None:
        set_traceback(exc, tb)
    return exc


cdef inline int _left(Awaitable a, int kind) noexcept:
    """Note how a hook of `a` ended. One that raised, which is not allowed, has ended its coroutine."""
    if kind == -2:
        a.stage = ENDED
        a.value = hasten_fetch_exc()
        kind = RAISED
    a.running = False
    return kind


cdef inline PyObject *_deliver(Awaitable a, int kind, bint by_next) noexcept:
    # NULL with an exception set is an ordinary ending here: "noexcept" keeps our callers from adding themselves to
    # its traceback
    value = a.value
    a.value = None
    if kind == YIELDED:
        Py_INCREF(value)
        return <PyObject *>value
    if kind == RAISED:
        hasten_raise(value)
    else:
        hasten_stop(value, by_next)
    return NULL


cdef inline PyObject *_step(Awaitable a, bint by_next) noexcept:  # as _deliver(): NULL is an ordinary ending
    if a.running:
        hasten_refuse_entry()
        return NULL
    a.running = True
    return _deliver(a, _left(a, hasten_resume(a)), by_next)


cdef PyObject *_checked_step(Awaitable a) except NULL:
    return _step(a, False)


cdef object _owned(PyObject *res):
    value = <object>res
    Py_DECREF(value)
    return value


cdef PyObject *_iternext(PyObject *me) except? NULL:
    return _step(<Awaitable>me, True)


cdef int _am_send(PyObject *me, PyObject *arg, PyObject **res) except -1:
    cdef Awaitable a = <Awaitable>me
    cdef int kind
    res[0] = NULL
    if a.running:
        hasten_refuse_entry()
        return RAISED
    a.running = True
    kind = _left(a, hasten_resume(a))
    value = a.value
    a.value = None
    if kind == RAISED:
        hasten_raise(value)
        return kind
    Py_INCREF(value)
    res[0] = <PyObject *>value
    return kind


cdef PyObject *_am_await(PyObject *me) except? NULL:
    # As the interpreter has it: `await` asks this once, before it sends anything.
    if (<Awaitable>me).stage & SUSPENDED and not (<Awaitable>me).running:
        hasten_refuse_second()
        return NULL
    Py_INCREF(<object>me)
    return me


cdef PyObject *_send_method(PyObject *me, PyObject *arg) except? NULL:
    cdef Awaitable a = <Awaitable>me
    if not a.running and <object>arg is not None and a.fresh():
        raise TypeError("can't send non-None value to a just-started coroutine")
    return _step(a, False)


cdef PyObject *_throw_method(PyObject *me, PyObject *args) except? NULL:
    cdef Awaitable a = <Awaitable>me
    cdef int kind
    thrown = _as_exception(<object>args)
    if a.running:
        hasten_refuse_entry()
        return NULL
    a.running = True
    kind = _left(a, hasten_resume_throw(a, thrown))
    if kind == RAISED and a.value is thrown:
        a.value = None
        hasten_raise_thrown(thrown)
        return NULL
    return _deliver(a, kind, False)


def native(cls):
    """Give an Awaitable subclass the C slots. Only its own module makes instances of a final one. A class decorator."""
    check_own(cls)
    if not issubclass(cls, Awaitable):
        raise TypeError(f"a subclass of Awaitable was expected, got {cls!r}")
    hasten_patch_awaitable(cls, _am_await, _iternext, _am_send)
    hasten_seal(cls)
    return cls


def refuse_await(cls):
    """Make `await instance` fail with the message that it has for a class written in Python."""
    check_own(cls)
    hasten_refuse_await(cls)


def lazy_attributes(cls):
    """Give a root class, whose first field is `cdef PyObject *attributes`, a __dict__ that is made on demand."""
    check_own(cls)
    hasten_lazy_attributes(cls)


cdef int drop_attributes(object obj) except -1:
    """Do what __dealloc__ of such a class has to do."""
    hasten_drop_attributes(obj)
    return 0


cdef int check_own(object cls) except -1:
    """Refuse a class that is no extension type of hasten's: what follows changes it for everybody."""
    if not isinstance(cls, type) or cls.__flags__ & 512 or not cls.__module__.startswith("hasten."):
        raise TypeError(f"an extension type of hasten's own was expected, got {cls!r}")
    return 0


def native_nothing(cls):
    """Do as native(), for a class whose instances return None at once."""
    native(cls)
    hasten_patch_nothing(cls)


def pool(cls, Py_ssize_t limit):
    """Keep the memory of up to `limit` dead instances of this very extension type for new ones."""
    check_own(cls)
    hasten_pool_add(cls, limit)


hasten_gc_find()
hasten_stop_init()
native(Awaitable)
hasten_add_methods(Awaitable, _send_method, _throw_method)
