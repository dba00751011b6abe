/* The loop that runs in this thread. Only one module may include this file: each module that did would have variables of
 * its own. */
#ifndef HASTEN_RUNNING_H
#define HASTEN_RUNNING_H
#include "contexts.h"

static HASTEN_THREAD PyObject *hasten_running HASTEN_NEAR;      /* owned, or NULL */
static HASTEN_THREAD PyObject *hasten_stepper HASTEN_NEAR;      /* its Step, owned, or NULL */
static HASTEN_THREAD PyObject **hasten_spares HASTEN_NEAR;      /* the Step's array of spares, or NULL */

static inline PyObject *hasten_get_running(void) { return hasten_running; }
static inline PyObject **hasten_get_spares(void) { return hasten_spares; }

static inline void hasten_set_running(PyObject *loop, PyObject *stepper, PyObject **spares) {
    PyObject *old = hasten_running, *old_stepper = hasten_stepper;
    hasten_running = Py_XNewRef(loop);
    hasten_stepper = Py_XNewRef(stepper);
    hasten_spares = spares;
    hasten_thread = loop == NULL ? NULL : PyThreadState_Get();
    Py_XDECREF(old_stepper);
    Py_XDECREF(old);
}

static inline void hasten_drop_spares(PyObject **spares, int count) {
    for (int i = 0; i < count; i++) Py_CLEAR(spares[i]);
}
#endif
