/* What neither Python nor Cython can say. Mechanism only; every function is static inline.
 *
 * Reference rules are written beside each function: "new" gives the caller a reference,
 * "borrowed" does not, "steals" takes the caller's. */
#ifndef HASTEN_H
#define HASTEN_H
#include <Python.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

/* ---- a thread's own variables -------------------------------------------------------------- */
#ifdef _MSC_VER
#  define HASTEN_THREAD __declspec(thread)
#else
#  define HASTEN_THREAD __thread
#endif
/* A thread's variable that is found without a call. The C library has room for only a few of these in libraries that are
 * loaded after the program's start. */
#if defined(__GLIBC__) && defined(__GNUC__)
#  define HASTEN_NEAR __attribute__((tls_model("initial-exec")))
#else
#  define HASTEN_NEAR
#endif

/* ---- exceptions ------------------------------------------------------------------------- */

/* isinstance() by the C type alone. `__class__`, `__instancecheck__` and `__subclasscheck__` run the program's code, which
 * may lie, raise, or change the object that is looked at. */
static inline int hasten_is_instance(PyObject *o, PyObject *cls) {
    return PyType_Check(cls) && PyObject_TypeCheck(o, (PyTypeObject *)cls);
}
/* issubclass(), the same way. */
static inline int hasten_is_subclass(PyObject *cls, PyObject *base) {
    return PyType_Check(cls) && PyType_Check(base) && PyType_IsSubtype((PyTypeObject *)cls, (PyTypeObject *)base);
}

/* An exception's traceback, cause and context as its C fields have them, past what its class makes of these names. The
 * setters drop what stood there, which may run destructors. Anything else than an exception has none, and is given none:
 * what a program passes to `__aexit__`, say, may be anything. */
static inline PyObject *hasten_traceback(PyObject *exc) {       /* new: a traceback or None */
    PyObject *tb = PyExceptionInstance_Check(exc) ? PyException_GetTraceback(exc) : NULL;
    return tb == NULL ? Py_NewRef(Py_None) : tb;
}
static inline int hasten_set_traceback(PyObject *exc, PyObject *tb) {
    return PyExceptionInstance_Check(exc) ? PyException_SetTraceback(exc, tb) : 0;
}
static inline PyObject *hasten_context(PyObject *exc) {         /* new: an exception or None */
    PyObject *context = PyExceptionInstance_Check(exc) ? PyException_GetContext(exc) : NULL;
    return context == NULL ? Py_NewRef(Py_None) : context;
}
static inline int hasten_set_context(PyObject *exc, PyObject *context) {
    if (PyExceptionInstance_Check(exc)) PyException_SetContext(exc, context == Py_None ? NULL : Py_NewRef(context));
    return 0;
}
static inline int hasten_set_cause(PyObject *exc, PyObject *cause) {    /* as `raise exc from cause` */
    if (PyExceptionInstance_Check(exc)) PyException_SetCause(exc, cause == Py_None ? NULL : Py_NewRef(cause));
    return 0;
}

/* The current exception, normalised and cleared: new, or NULL. */
static inline PyObject *hasten_fetch_exc(void) {
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *t, *v, *tb;
    PyErr_Fetch(&t, &v, &tb);
    if (t == NULL) return NULL;
    PyErr_NormalizeException(&t, &v, &tb);
    if (tb != NULL) { PyException_SetTraceback(v, tb); Py_DECREF(tb); }
    Py_DECREF(t);
    return v;
#endif
}

/* Makes `exc` the current exception, as `raise exc` does: what is being handled becomes its context. It gets no
 * traceback entry of ours. */
static inline void hasten_raise(PyObject *exc) {
    if (PyExceptionInstance_Check(exc)) PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
    else PyErr_Format(PyExc_TypeError, "exceptions must derive from BaseException, not %.200s", Py_TYPE(exc)->tp_name);
}

/* The same for an exception that was thrown in: it keeps the context that it has. */
static inline void hasten_raise_thrown(PyObject *exc) {
#if PY_VERSION_HEX >= 0x030C0000
    Py_INCREF(exc);
    PyErr_SetRaisedException(exc);
#else
    PyObject *t = (PyObject *)Py_TYPE(exc);
    Py_INCREF(t); Py_INCREF(exc);
    PyErr_Restore(t, exc, PyException_GetTraceback(exc));
#endif
}

/* The exception that `throw(type, value)` means. If calling the class raises an exception, or gives none, that error is the
 * exception. New reference, never NULL. */
static inline PyObject *hasten_normalize(PyObject *type, PyObject *value) {
    PyObject *tb = NULL;
    Py_INCREF(type);
    value = value == Py_None ? NULL : Py_NewRef(value);
    PyErr_NormalizeException(&type, &value, &tb);
    if (tb != NULL) { PyException_SetTraceback(value, tb); Py_DECREF(tb); }
    Py_DECREF(type);
    return value;
}

/* Code that runs between these two does not see the exceptions that are being handled outside, and leaves none there. */
typedef struct {
    _PyErr_StackItem item;
    _PyErr_StackItem *outer;
} hasten_isolation;
static inline void hasten_isolate(hasten_isolation *own) {
    PyThreadState *ts = PyThreadState_Get();
    own->item.exc_value = NULL;
    own->item.previous_item = NULL;
    own->outer = ts->exc_info;
    ts->exc_info = &own->item;
}
static inline void hasten_rejoin(hasten_isolation *own) {
    PyThreadState_Get()->exc_info = own->outer;
    Py_CLEAR(own->item.exc_value);
}

/* ---- one step of a coroutine, one call of a callback -------------------------------------- */

enum { HASTEN_RAISED = -1, HASTEN_RETURNED = 0, HASTEN_YIELDED = 1 };

/* How it ended. The caller keeps it in a variable of its own, since what runs next (a destructor of an argument, say) may
 * call and step others. */
typedef struct {
    PyObject *value;        /* new: what was yielded, returned or raised; never NULL */
    PyObject *context;      /* new, or NULL: the context in which it ran, if that is no longer the snapshot (contexts.h) */
    int kind;
} hasten_outcome;

static inline hasten_outcome hasten_ended(int kind, PyObject *value) {
    hasten_outcome out = {value, NULL, kind};
    return out;
}
/* The current exception as the outcome. Some extension modules fail without setting one, by mistake. */
static inline hasten_outcome hasten_failed(PyObject *culprit) {
    PyObject *exc = hasten_fetch_exc();
    if (exc == NULL) {
        PyErr_Format(PyExc_SystemError, "%.200s returned NULL without setting an exception", Py_TYPE(culprit)->tp_name);
        exc = hasten_fetch_exc();
    }
    return hasten_ended(HASTEN_RAISED, exc);
}
static inline PyObject *hasten_outcome_value(hasten_outcome out) { return out.value; }         /* hands it over */
static inline PyObject *hasten_outcome_context(hasten_outcome out) { return out.context; }     /* hands it over */

/* Sends None into `coro` inside `ctx` (None: we are inside already). */
static inline hasten_outcome hasten_send(PyObject *coro, PyObject *ctx) {
    hasten_outcome out = {NULL, NULL, HASTEN_RAISED};
    if (ctx != Py_None && PyContext_Enter(ctx) < 0) return hasten_failed(ctx);
    out.kind = (int)PyIter_Send(coro, Py_None, &out.value);
    if (out.kind == HASTEN_RAISED) out = hasten_failed(coro);
    if (ctx != Py_None && PyContext_Exit(ctx) < 0) PyErr_Clear();
    return out;
}

/* After a throw() that gave `res`: tells a value returned from an exception. */
static inline hasten_outcome hasten_settle(PyObject *res) {
    PyObject *exc, *val;
    if (res != NULL) return hasten_ended(HASTEN_YIELDED, res);
    exc = hasten_fetch_exc();
    if (exc == NULL) return hasten_ended(HASTEN_RETURNED, Py_NewRef(Py_None));
    if (!PyErr_GivenExceptionMatches(exc, PyExc_StopIteration)) return hasten_ended(HASTEN_RAISED, exc);
    val = ((PyStopIterationObject *)exc)->value;
    val = Py_NewRef(val == NULL ? Py_None : val);
    Py_DECREF(exc);
    return hasten_ended(HASTEN_RETURNED, val);
}

/* Throws `exc` into `coro` inside `ctx`. */
static inline hasten_outcome hasten_throw(PyObject *coro, PyObject *ctx, PyObject *exc, PyObject *name) {
    hasten_outcome out;
    if (ctx != Py_None && PyContext_Enter(ctx) < 0) return hasten_failed(ctx);
    out = hasten_settle(PyObject_CallMethodOneArg(coro, name, exc));
    if (ctx != Py_None && PyContext_Exit(ctx) < 0) PyErr_Clear();
    return out;
}

/* Calls `cb(*args)`; what is no tuple is the only argument. */
static inline hasten_outcome hasten_apply(PyObject *cb, PyObject *args) {
    PyObject *res;
    int several = PyTuple_CheckExact(args);
    PyObject **first = several ? &PyTuple_GET_ITEM(args, 0) : &args;
    Py_ssize_t n = several ? PyTuple_GET_SIZE(args) : 1;
    PyTypeObject *t = Py_TYPE(cb);
    vectorcallfunc f = NULL;
    if (t->tp_flags & Py_TPFLAGS_HAVE_VECTORCALL) memcpy(&f, (char *)cb + t->tp_vectorcall_offset, sizeof f);
    if (f != NULL) res = f(cb, first, (size_t)n, NULL);
    else if (several) res = PyObject_Call(cb, args, NULL);
    else res = PyObject_CallOneArg(cb, args);
    return res != NULL ? hasten_ended(HASTEN_RETURNED, res) : hasten_failed(cb);
}

/* Calls `cb(*args)` inside `ctx`. */
static inline hasten_outcome hasten_call(PyObject *ctx, PyObject *cb, PyObject *args) {
    hasten_outcome out;
    if (PyContext_Enter(ctx) < 0) return hasten_failed(ctx);
    out = hasten_apply(cb, args);
    if (PyContext_Exit(ctx) < 0) PyErr_Clear();
    return out;
}

/* callable(o) */
static inline int hasten_is_callable(PyObject *o) { return Py_TYPE(o)->tp_call != NULL; }

/* Is `f` of a type whose `==` is known here: one that compares by identity, or a method? */
static inline int hasten_compares_plainly(PyObject *f) {
    return Py_TYPE(f)->tp_richcompare == PyBaseObject_Type.tp_richcompare || PyMethod_Check(f) || PyCFunction_CheckExact(f);
}
/* a == b for callbacks, without running anything: 1, 0, or -1 where only `==` knows. */
static inline int hasten_same_callback(PyObject *a, PyObject *b) {
    if (a == b) return 1;
    if (!hasten_compares_plainly(a) || !hasten_compares_plainly(b)) return -1;
    if (Py_TYPE(a) != Py_TYPE(b)) return 0;
    if (PyMethod_Check(a)) {
        if (PyMethod_GET_SELF(a) != PyMethod_GET_SELF(b)) return 0;
        return hasten_same_callback(PyMethod_GET_FUNCTION(a), PyMethod_GET_FUNCTION(b));
    }
    if (PyCFunction_CheckExact(a))
        return PyCFunction_GET_SELF(a) == PyCFunction_GET_SELF(b) && PyCFunction_GET_FUNCTION(a) == PyCFunction_GET_FUNCTION(b);
    return 0;
}
/* Could the callback `f` be a method of `o`? 0: no. -1: yes, or it cannot be known. */
static inline int hasten_may_be_method(PyObject *f, PyObject *o) {
    if (!hasten_compares_plainly(f)) return -1;
    if (PyMethod_Check(f)) return PyMethod_GET_SELF(f) == o ? -1 : 0;
    if (PyCFunction_CheckExact(f)) return PyCFunction_GET_SELF(f) == o ? -1 : 0;
    return 0;
}

/* What contexts.h keeps for a loop. */
typedef struct {
    PyObject *scratch;      /* a copy to enter; owned, or NULL */
    PyObject *inside;       /* the copy that the thread is inside of, though nothing runs in it; owned, or NULL */
} hasten_contexts;

/* ---- slots of a type that Cython cannot write ---------------------------------------------- */

static inline void hasten_patch_awaitable(PyObject *type, PyObject *(*await)(PyObject *), iternextfunc next,
                                          int (*send)(PyObject *, PyObject *, PyObject **)) {
    PyTypeObject *t = (PyTypeObject *)type;
    t->tp_iternext = next;
    t->tp_iter = PyObject_SelfIter;
    if (t->tp_as_async != NULL) {
        t->tp_as_async->am_await = await;
        t->tp_as_async->am_send = (sendfunc)(void (*)(void))send;
#ifdef Py_TPFLAGS_HAVE_AM_SEND
        t->tp_flags |= Py_TPFLAGS_HAVE_AM_SEND;
#endif
    }
    PyType_Modified(t);
}

/* Raises ValueError for a call of send(), throw() or close() while the coroutine runs. */
static inline void hasten_refuse_entry(void) { PyErr_SetString(PyExc_ValueError, "coroutine already executing"); }
static inline void hasten_refuse_second(void) {
    PyErr_SetString(PyExc_RuntimeError, "coroutine is being awaited already");
}

/* The end of an iterator that returns None, at once. */
static inline PyObject *hasten_end_at_once(PyObject *o) { (void)o; return NULL; }
static inline void hasten_patch_nothing(PyObject *type) { ((PyTypeObject *)type)->tp_iternext = hasten_end_at_once; }

/* For a final class whose instances only its own module makes (by the C function, not by the slot): an instance that is
 * made in any other way lacks what its methods rely on. */
static inline PyObject *hasten_cannot_create(PyTypeObject *t, PyObject *args, PyObject *kwargs) {
    (void)args; (void)kwargs;
    return PyErr_Format(PyExc_TypeError, "cannot create '%s' instances: call the function that gives one", t->tp_name);
}
static inline void hasten_seal(PyObject *type) {
    PyTypeObject *t = (PyTypeObject *)type;
    if (!(t->tp_flags & Py_TPFLAGS_BASETYPE)) t->tp_new = hasten_cannot_create;
}

/* Gives a static type the methods send(value) and throw(*args), straight in C. */
static inline int hasten_add_methods(PyObject *type, PyCFunction send, PyCFunction throw_) {
    static PyMethodDef defs[2];
    PyTypeObject *t = (PyTypeObject *)type;
    defs[0].ml_name = "send"; defs[0].ml_meth = send; defs[0].ml_flags = METH_O;
    defs[1].ml_name = "throw"; defs[1].ml_meth = throw_; defs[1].ml_flags = METH_VARARGS;
    for (int i = 0; i < 2; i++) {
        PyObject *m = PyDescr_NewMethod(t, &defs[i]);
        int failed = m == NULL || PyDict_SetItemString(t->tp_dict, defs[i].ml_name, m) < 0;
        Py_XDECREF(m);
        if (failed) return -1;
    }
    PyType_Modified(t);
    return 0;
}

/* Containers of raw references (ring, heap, list of tasks) show them to the garbage collector. */
static inline void hasten_patch_gc(PyObject *type, traverseproc traverse, inquiry clear) {
    PyTypeObject *t = (PyTypeObject *)type;
    t->tp_traverse = traverse;
    t->tp_clear = clear;
}
static inline int hasten_visit(PyObject *o, visitproc visit, void *arg) {
    Py_VISIT(o);
    return 0;
}

/* ---- the ready queue's words: an owned object and a tag ------------------------------------- */

static inline PyObject *hasten_untag(uintptr_t w) { return (PyObject *)(w & ~(uintptr_t)7); }   /* new: the queue's */
static inline uintptr_t hasten_tag(PyObject *o, uintptr_t t) { Py_INCREF(o); return (uintptr_t)o | t; }

/* Hands a reference that C code owns over to the caller: new */
static inline PyObject *hasten_steal(PyObject *o) { return o; }

/* Is the caller's the only reference to it, weak ones included? */
static inline int hasten_sole(PyObject *o) {
    PyTypeObject *t = Py_TYPE(o);
    return Py_REFCNT(o) == 1
        && (t->tp_weaklistoffset <= 0 || *(PyObject **)((char *)o + t->tp_weaklistoffset) == NULL);
}

/* Takes out the object at a place if there is no other reference to it; else gives None. */
static inline PyObject *hasten_take_sole(PyObject **at) {
    PyObject *o = *at;
    if (o != NULL) {
        *at = NULL;
        if (hasten_sole(o)) return o;
        Py_DECREF(o);
    }
    return Py_NewRef(Py_None);
}

static inline void hasten_put(PyObject **at, PyObject *o) {
    PyObject *before = *at;
    *at = Py_NewRef(o);
    Py_XDECREF(before);
}

/* ---- time --------------------------------------------------------------------------------- */

/* time.monotonic(), to the last bit. */
static inline double hasten_monotonic(void) {
#if defined(CLOCK_MONOTONIC) && !defined(__APPLE__) && !defined(_WIN32)
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)((int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec) / 1e9;
#elif PY_VERSION_HEX >= 0x030D0000
    PyTime_t t;
    if (PyTime_MonotonicRaw(&t) < 0) return 0.0;
    return PyTime_AsSecondsDouble(t);
#else
    return _PyTime_AsSecondsDouble(_PyTime_GetMonotonicClock());
#endif
}

#endif
