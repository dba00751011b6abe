/* What functions.pyx needs of types: where a class keeps its methods, whether it can be changed, how it is called. */
#ifndef HASTEN_FUNCTIONS_H
#define HASTEN_FUNCTIONS_H
#include <Python.h>
#include "rooms.h"

/* Looks at the true class, whatever __class__ says. */
static inline int hasten_is_instance(PyObject *o, PyObject *cls) { return PyObject_TypeCheck(o, (PyTypeObject *)cls); }

/* The class's own dict: borrowed */
static inline PyObject *hasten_type_dict(PyObject *cls) { return ((PyTypeObject *)cls)->tp_dict; }

/* A method of a base as one of the class's own. New reference */
static inline PyObject *hasten_own_method(PyObject *cls, PyObject *descriptor) {
    return PyDescr_NewMethod((PyTypeObject *)cls, ((PyMethodDescrObject *)descriptor)->d_method);
}

/* What is remembered of the class's methods is forgotten. */
static inline void hasten_class_changed(PyObject *cls) { PyType_Modified((PyTypeObject *)cls); }

/* Enters a class in what a class of Python's knows of those that inherit from it, as the interpreter does when it makes one:
 * when the base is changed, what is remembered of attributes of theirs is forgotten. */
static inline int hasten_add_subclass(PyObject *base, PyObject *cls) {
    PyTypeObject *b = (PyTypeObject *)base;
    PyObject *key, *ref;
    int res = -1;
    if (b->tp_subclasses == NULL && (b->tp_subclasses = PyDict_New()) == NULL) return -1;
    key = PyLong_FromVoidPtr(cls);
    ref = PyWeakref_NewRef(cls, NULL);
    if (key != NULL && ref != NULL) res = PyDict_SetItem((PyObject *)b->tp_subclasses, key, ref);
    Py_XDECREF(key);
    Py_XDECREF(ref);
    return res;
}

/* Gives a static type a class of its own, and another order of resolution with the bases that lead to it (None: as it is).
 * It begins with the old one, and what it adds has no memory in the instances. The slots stay what they are. */
static inline int hasten_set_class(PyObject *cls, PyObject *kind, PyObject *order, PyObject *bases) {
    PyTypeObject *t = (PyTypeObject *)cls;
    if (t->tp_flags & Py_TPFLAGS_HEAPTYPE || !PyType_IsSubtype((PyTypeObject *)kind, &PyType_Type)) {
        PyErr_SetString(PyExc_TypeError, "a static type, and a class of classes, were expected");
        return -1;
    }
    if (order != Py_None) {
        PyObject *order_before = t->tp_mro, *bases_before = t->tp_bases;
        PyObject *added = PyTuple_GET_ITEM(bases, PyTuple_GET_SIZE(bases) - 1);     /* a class of Python's */
        if (hasten_add_subclass(added, cls) < 0) return -1;
        t->tp_mro = Py_NewRef(order);
        t->tp_bases = Py_NewRef(bases);
        Py_XDECREF(order_before);
        Py_XDECREF(bases_before);
    }
    Py_SET_TYPE(cls, (PyTypeObject *)Py_NewRef(kind));
    PyType_Modified(t);
    return 0;
}

/* Once `__new__` was replaced, object.__new__() and a base's accept the class, and would give an object whose fields are
 * not what its methods rely on. */
static PyObject *hasten_guarded_alloc(PyTypeObject *t, Py_ssize_t items) {
    hasten_room *room = hasten_room_of(t);
    if (room == NULL || room->alloc == NULL) return PyType_GenericAlloc(t, items);  /* inherited */
    if (t->tp_new == room->made_by) return room->alloc(t, items);
    return PyErr_Format(PyExc_TypeError, "the __new__ of '%s' was replaced, which a compiled class does not survive: "
                        "derive a class, and give that one a __new__", t->tp_name);
}

/* object.__new__() looks down `tp_base` for the first type with a `tp_new` of C's: below an open root it finds this one,
 * and refuses its subclasses too. Nothing else sees it: bases and order of resolution stay as they are. */
static PyObject *hasten_refuse_new(PyTypeObject *t, PyObject *args, PyObject *kwargs) {
    (void)args; (void)kwargs;
    return PyErr_Format(PyExc_TypeError, "cannot create '%s' instances in this way", t->tp_name);
}
static void hasten_free_below(PyObject *o) { Py_TYPE(o)->tp_free(o); }
static PyTypeObject hasten_below = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "hasten.kernel.functions.Below",
    .tp_basicsize = sizeof(PyObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = hasten_refuse_new,
    .tp_dealloc = hasten_free_below,    /* not object's own: so `__bases__` cannot be set */
};

/* Lets the class be changed from now on, if there is room for that. -1 with an exception set */
static inline int hasten_open_type(PyObject *cls) {
    PyTypeObject *t = (PyTypeObject *)cls;
    hasten_room *room = hasten_room_of(t);
    if (room != NULL && room->alloc == NULL) {
        if (PyType_Ready(&hasten_below) < 0) return -1;
        room->made_by = t->tp_new;
        /* without a pool of its own, a class has what it inherited from a base that was opened before */
        room->alloc = t->tp_alloc == hasten_guarded_alloc ? PyType_GenericAlloc : t->tp_alloc;
        t->tp_alloc = hasten_guarded_alloc;
        t->tp_flags &= ~Py_TPFLAGS_IMMUTABLETYPE;
        if (t->tp_base == &PyBaseObject_Type) t->tp_base = &hasten_below;
    }
    PyType_Modified(t);
    return 0;
}

/* `text`, "Name(parameters)\n--\n\ndocumentation", is what __text_signature__ is read from; __doc__ stands in the dict
 * already. It is kept for ever. -1 with an exception set */
static inline int hasten_set_signature(PyObject *cls, const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = (char *)PyMem_RawMalloc(size);
    if (copy == NULL) { PyErr_NoMemory(); return -1; }
    memcpy(copy, text, size);
    ((PyTypeObject *)cls)->tp_doc = copy;
    return 0;
}

/* Instances are called by the function at `offset` in them, and bind as functions do. */
static inline void hasten_patch_callable(PyObject *cls, Py_ssize_t offset) {
    PyTypeObject *t = (PyTypeObject *)cls;
    t->tp_vectorcall_offset = offset;
    t->tp_call = PyVectorcall_Call;
    t->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR;
    PyType_Modified(t);
}
#endif
