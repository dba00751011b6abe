/* collections.deque by its own C functions, without the cost of a method call. What is no deque gets the method call. */
#ifndef HASTEN_DEQUES_H
#define HASTEN_DEQUES_H
#include <Python.h>

static PyTypeObject *hasten_deque;      /* owned for ever; NULL: not looked for yet */
static PyCFunction hasten_deque_append, hasten_deque_popleft;

static inline PyCFunction hasten_method_of(PyObject *type, const char *name, int flags) {
    PyObject *d = PyObject_GetAttrString(type, name);
    PyCFunction f = NULL;
    if (d != NULL && Py_IS_TYPE(d, &PyMethodDescr_Type)) {
        PyMethodDef *def = ((PyMethodDescrObject *)d)->d_method;
        if (def->ml_flags == flags) f = def->ml_meth;
    }
    PyErr_Clear();
    Py_XDECREF(d);      /* the type keeps it */
    return f;
}

static int hasten_find_deque(void) {
    PyObject *module = PyImport_ImportModule("collections"), *type;
    if (module == NULL) return -1;
    type = PyObject_GetAttrString(module, "deque");
    Py_DECREF(module);
    if (type == NULL) return -1;
    hasten_deque_append = hasten_method_of(type, "append", METH_O);
    hasten_deque_popleft = hasten_method_of(type, "popleft", METH_NOARGS);
    hasten_deque = (PyTypeObject *)type;
    return 0;
}

/* A new empty deque. The collector does not run meanwhile, so no other code does. New reference. */
static inline PyObject *hasten_new_deque(void) {
    PyObject *res;
    int collecting;
    if (hasten_deque == NULL && hasten_find_deque() < 0) return NULL;
    collecting = PyGC_Disable();
    res = PyObject_CallNoArgs((PyObject *)hasten_deque);
    if (collecting) PyGC_Enable();
    return res;
}

/* A new list of two, made in the same way. */
static inline PyObject *hasten_pair(PyObject *first, PyObject *second) {
    int collecting = PyGC_Disable();
    PyObject *res = PyList_New(2);
    if (collecting) PyGC_Enable();
    if (res == NULL) return NULL;
    PyList_SET_ITEM(res, 0, Py_NewRef(first));
    PyList_SET_ITEM(res, 1, Py_NewRef(second));
    return res;
}

static inline int hasten_push(PyObject *dq, PyObject *item) {
    PyObject *res;
    if (hasten_deque == NULL && hasten_find_deque() < 0) return -1;
    if (Py_IS_TYPE(dq, hasten_deque) && hasten_deque_append != NULL) res = hasten_deque_append(dq, item);
    else res = PyObject_CallMethod(dq, "append", "O", item);
    Py_XDECREF(res);
    return res == NULL ? -1 : 0;
}

static inline PyObject *hasten_shift(PyObject *dq) {    /* new */
    if (hasten_deque == NULL && hasten_find_deque() < 0) return NULL;
    if (Py_IS_TYPE(dq, hasten_deque) && hasten_deque_popleft != NULL) return hasten_deque_popleft(dq, NULL);
    return PyObject_CallMethod(dq, "popleft", NULL);
}
#endif
