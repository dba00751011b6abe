/* The end of an iterator that returns a value.
 *
 * Where `await` drives tp_iternext, a value comes as a StopIteration, which the interpreter looks into and drops. To make
 * and unmake one costs more than all else that an await of ours does. So it is one of a class of its own, derived from
 * StopIteration and looking like it, whose memory is kept for the next. Off where pools are (see pool.h). */
#ifndef HASTEN_STOPPING_H
#define HASTEN_STOPPING_H
#include "hasten.h"
#include "pool.h"

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

/* Sets the exception. From tp_iternext, None needs none. */
static inline void hasten_stop(PyObject *val, int by_next) {
    PyTypeObject *t = HASTEN_POOLS && by_next ? &hasten_stop_type : (PyTypeObject *)PyExc_StopIteration;
    PyStopIterationObject *e = hasten_spare_stop;
    if (val == Py_None && by_next) return;
    if (t == &hasten_stop_type && e != NULL) {
        hasten_spare_stop = NULL;
        _Py_NewReference((PyObject *)e);
        PyObject_GC_Track(e);
    }
    else e = (PyStopIterationObject *)t->tp_alloc(t, 0);
    if (e == NULL) return;
    e->value = Py_NewRef(val);
    e->suppress_context = 0;
    if (!by_next) e->args = PyTuple_Pack(1, val);
    else if (e->args == NULL) e->args = Py_NewRef(hasten_no_args);      /* await asks for the value only */
    if (e->args == NULL) { Py_DECREF(e); return; }
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException((PyObject *)e);
#else
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(e)), (PyObject *)e, NULL);
#endif
}
#endif
