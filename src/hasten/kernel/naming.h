/* Errors about an extension type name it with its module, those about a class of Python's without. A program
 * that says `await lock` for `await lock.acquire()` gets the message that asyncio's classes give. The slot alone, without an __await__ in the
 * class, makes nothing awaitable in the eyes of inspect and collections.abc. */
#ifndef HASTEN_NAMING_H
#define HASTEN_NAMING_H
#include <Python.h>
#include <string.h>

static PyObject *hasten_no_await(PyObject *o) {
    const char *dot = strrchr(Py_TYPE(o)->tp_name, '.');
    const char *name = dot == NULL ? Py_TYPE(o)->tp_name : dot + 1;
#if PY_VERSION_HEX >= 0x030E0000
    return PyErr_Format(PyExc_TypeError, "'%.100s' object can't be awaited", name);
#else
    return PyErr_Format(PyExc_TypeError, "object %.100s can't be used in 'await' expression", name);
#endif
}

static inline void hasten_refuse_await(PyObject *cls) {
    PyTypeObject *t = (PyTypeObject *)cls;
    if (t->tp_flags & Py_TPFLAGS_HEAPTYPE) return;
    if (t->tp_as_async == NULL) return;     /* each class that can be derived from has its own: see rooms.h */
    t->tp_as_async->am_await = hasten_no_await;
    PyType_Modified(t);
}

/* `q.get() + 1` is a mistake about a coroutine: "unsupported operand type(s) for +: 'coroutine' and 'int'" is what is known,
 * and searched for. All such messages take a type's name from here (and so does its `__name__`). */
static inline void hasten_call_coroutine(PyObject *cls) {
    ((PyTypeObject *)cls)->tp_name = "coroutine";
    PyType_Modified((PyTypeObject *)cls);
}
#endif
