/* A __dict__ that is made when the first attribute is set, as Python's own classes have it. Cython's `cdef dict __dict__`
 * makes one for each instance, and the interpreter looks methods up the slow way where there is one.
 *
 * The class is a root, and its first field is `cdef PyObject *attributes`; its __dealloc__ calls hasten_drop_attributes. */
#ifndef HASTEN_ATTRIBUTES_H
#define HASTEN_ATTRIBUTES_H
#include <Python.h>

/* the head, Cython's table of methods, then the first field */
#define HASTEN_ATTRIBUTES_AT ((Py_ssize_t)(sizeof(PyObject) + sizeof(void *)))

static inline PyObject **hasten_attributes(PyObject *o) {
    return (PyObject **)((char *)o + HASTEN_ATTRIBUTES_AT);
}
static inline void hasten_drop_attributes(PyObject *o) { Py_CLEAR(*hasten_attributes(o)); }

/* Drops the dict that Cython made for a new object: see step.pxd. */
static inline void hasten_drop_dict(PyObject *o) {
    Py_ssize_t at = Py_TYPE(o)->tp_dictoffset;
    if (at > 0) Py_CLEAR(*(PyObject **)((char *)o + at));
}

/* Cython wrote traverse and clear without knowing the field: each class has a pair around its own. */
enum { HASTEN_LAZY_CLASSES = 6 };
static struct { PyTypeObject *type; traverseproc traverse; inquiry clear; } hasten_lazy[HASTEN_LAZY_CLASSES];

#define HASTEN_LAZY(n) \
    static int hasten_lazy_traverse_##n(PyObject *o, visitproc visit, void *arg) { \
        Py_VISIT(*hasten_attributes(o)); \
        return hasten_lazy[n].traverse(o, visit, arg); \
    } \
    static int hasten_lazy_clear_##n(PyObject *o) { \
        hasten_drop_attributes(o); \
        return hasten_lazy[n].clear == NULL ? 0 : hasten_lazy[n].clear(o); \
    }
HASTEN_LAZY(0)
HASTEN_LAZY(1)
HASTEN_LAZY(2)
HASTEN_LAZY(3)
HASTEN_LAZY(4)
HASTEN_LAZY(5)

/* To be called before any subclass is made. -1 with an exception set */
static int hasten_lazy_attributes(PyObject *cls) {
    static const traverseproc traverse[] = {
        hasten_lazy_traverse_0, hasten_lazy_traverse_1, hasten_lazy_traverse_2, hasten_lazy_traverse_3,
        hasten_lazy_traverse_4, hasten_lazy_traverse_5};
    static const inquiry clear[] = {
        hasten_lazy_clear_0, hasten_lazy_clear_1, hasten_lazy_clear_2, hasten_lazy_clear_3,
        hasten_lazy_clear_4, hasten_lazy_clear_5};
    static PyGetSetDef dict = {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL};
    PyTypeObject *t = (PyTypeObject *)cls;
    PyObject *descriptor;
    int n = 0, failed;
    while (n < HASTEN_LAZY_CLASSES && hasten_lazy[n].type != NULL) n++;
    if (n == HASTEN_LAZY_CLASSES || t->tp_base != &PyBaseObject_Type || t->tp_dictoffset != 0 || !PyType_IS_GC(t)) {
        PyErr_Format(PyExc_TypeError, "%s cannot have attributes made on demand", t->tp_name);
        return -1;
    }
    descriptor = PyDescr_NewGetSet(t, &dict);
    failed = descriptor == NULL || PyDict_SetItemString(t->tp_dict, "__dict__", descriptor) < 0;
    Py_XDECREF(descriptor);
    if (failed) return -1;
    hasten_lazy[n].type = t;
    hasten_lazy[n].traverse = t->tp_traverse;
    hasten_lazy[n].clear = t->tp_clear;
    t->tp_traverse = traverse[n];
    t->tp_clear = clear[n];
    t->tp_dictoffset = HASTEN_ATTRIBUTES_AT;
    PyType_Modified(t);
    return 0;
}
#endif
