/* The end of an iterator that returns a value.
 *
 * Where `await` drives tp_iternext (CPython 3.12 to 3.14), a value comes as a StopIteration, which the interpreter looks
 * into and drops. Making and freeing one costs more than all else that an await of ours does. So `await` gets an
 * instance of a class derived from StopIteration, whose memory is kept for the next one, and which has nothing but the
 * value. All other callers, which may keep what they catch, get a real StopIteration. Off where pools are (see pool.h). */
#ifndef HASTEN_STOPPING_H
#define HASTEN_STOPPING_H
#include "contexts.h"
#include "pool.h"
#if PY_VERSION_HEX >= 0x030C0000
#  include "opcode.h"
#  include "internal/pycore_instruments.h"
#endif

static PyStopIterationObject *hasten_spare_stop;    /* memory of a dead one, or NULL */
static PyObject *hasten_no_args;                    /* () */

static void hasten_stop_dealloc(PyObject *o) {
    PyStopIterationObject *e = (PyStopIterationObject *)o;
    PyObject_GC_UnTrack(o);
    Py_CLEAR(e->value);
    if (e->dict != NULL || e->notes != NULL || e->traceback != NULL || e->context != NULL || e->cause != NULL
            || e->args != hasten_no_args)
        Py_TYPE(o)->tp_clear(o);
    if (hasten_spare_stop == NULL && HASTEN_POOLS) hasten_spare_stop = e;
    else { Py_CLEAR(e->args); PyObject_GC_Del(o); }
}

static PyTypeObject hasten_stop_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "StopIteration",
    .tp_basicsize = sizeof(PyStopIterationObject),
    .tp_dealloc = hasten_stop_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT,     /* that it has to do with the garbage collector, and how, is inherited */
    .tp_doc = "StopIteration, as awaitables of hasten's end with it.",
};

static inline int hasten_stop_init(void) {
    hasten_stop_type.tp_base = (PyTypeObject *)PyExc_StopIteration;
    hasten_no_args = PyTuple_New(0);
    return hasten_no_args == NULL ? -1 : PyType_Ready(&hasten_stop_type);
}

/* Is the caller the interpreter's own `await` or `yield from`, and is there no debugger that is shown each exception? */
static inline int hasten_in_await(void) {
#if PY_VERSION_HEX >= 0x030C0000
    PyThreadState *ts = hasten_this_thread();
#  if PY_VERSION_HEX >= 0x030D0000
    struct _PyInterpreterFrame *f = ts->current_frame;
    int op = f == NULL || f->instr_ptr == NULL ? 0 : f->instr_ptr->op.code;
#  else
    struct _PyInterpreterFrame *f = ts->cframe->current_frame;
    int op = f == NULL ? 0 : f->prev_instr->op.code;
#  endif
    return (op == SEND || op == SEND_GEN) && ts->interp->monitors.tools[PY_MONITORING_EVENT_RAISE] == 0;
#else
    return 0;
#endif
}

static inline void hasten_stop_for_await(PyObject *val) {
    PyStopIterationObject *e = hasten_spare_stop;
    if (e != NULL) {
        hasten_spare_stop = NULL;
        _Py_NewReference((PyObject *)e);
        PyObject_GC_Track(e);
    }
    else e = (PyStopIterationObject *)hasten_stop_type.tp_alloc(&hasten_stop_type, 0);
    if (e == NULL) return;
    e->value = Py_NewRef(val);
    e->suppress_context = 0;
    if (e->args == NULL) e->args = Py_NewRef(hasten_no_args);
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException((PyObject *)e);
#else
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(e)), (PyObject *)e, NULL);
#endif
}

/* Sets the exception. From tp_iternext, None needs none. */
static inline void hasten_stop(PyObject *val, int by_next) {
    PyObject *e;
    if (by_next && val == Py_None) return;
    if (by_next && HASTEN_POOLS && hasten_in_await()) {
        hasten_stop_for_await(val);
        return;
    }
    e = PyObject_CallOneArg(PyExc_StopIteration, val);
    if (e == NULL) return;
    PyErr_SetObject(PyExc_StopIteration, e);
    Py_DECREF(e);
}
#endif
