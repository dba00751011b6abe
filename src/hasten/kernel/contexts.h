/* Contexts for callbacks, without a copy for each.
 *
 * call_soon() and call_later() owe each callback a copy of the context that is current when they are called. Mostly the
 * variables have not changed since the last call: then the callbacks share one copy, the snapshot, which is never
 * entered. What is entered to run one is a scratch copy of it; if the callback has set no variable and nobody kept the
 * scratch copy, it is as good as new, and serves the next one.
 *
 * The variables of a context are an immutable map (Python/hamt.c): where the maps are the same object, so is the content. */
#ifndef HASTEN_CONTEXTS_H
#define HASTEN_CONTEXTS_H
#include "internals.h"
#include "internal/pycore_context.h"
#include "internal/pycore_hamt.h"

static PyObject *hasten_latest;     /* the snapshot made last; owned, or NULL */

static inline PyObject *hasten_vars(PyObject *context) { return (PyObject *)((PyContext *)context)->ctx_vars; }

/* A snapshot of the current context: new */
static inline PyObject *hasten_snapshot(void) {
    PyObject *current = PyThreadState_Get()->context, *old;
    if (current != NULL && hasten_latest != NULL && hasten_vars(hasten_latest) == hasten_vars(current))
        return Py_NewRef(hasten_latest);
    current = PyContext_CopyCurrent();
    if (current == NULL) return NULL;
    old = hasten_latest;
    hasten_latest = Py_NewRef(current);
    Py_XDECREF(old);
    return current;
}

/* Calls `cb(*args)` as in a copy of `snapshot`, to which only the caller may refer besides other sharers. new: as
 * hasten_call. *ran_in becomes the copy (new) when that has to be told from the snapshot afterwards. */
static inline PyObject *hasten_call_shared(PyObject *snapshot, PyObject *cb, PyObject *args, int *kind,
                                           PyObject **scratch, PyObject **ran_in) {
    PyObject *own, *res, *old;
    if (Py_REFCNT(snapshot) == 1) own = Py_NewRef(snapshot);        /* no sharers, and none to come */
    else if (*scratch != NULL && hasten_vars(*scratch) == hasten_vars(snapshot)) { own = *scratch; *scratch = NULL; }
    else own = PyContext_Copy(snapshot);
    if (own == NULL) { *kind = HASTEN_RAISED; return hasten_fetch_exc(); }
    res = hasten_call(own, cb, args, kind);
    if (*kind == HASTEN_RAISED || hasten_vars(own) != hasten_vars(snapshot)) {
        old = *ran_in;
        *ran_in = own;
        Py_XDECREF(old);
    }
    else if (own != snapshot && Py_REFCNT(own) == 1 && ((PyContext *)own)->ctx_weakreflist == NULL) {
        old = *scratch;
        *scratch = own;
        Py_XDECREF(old);
    }
    else Py_DECREF(own);
    return res;
}

static inline int hasten_holds_values(PyObject *context) {
    return context != NULL && ((PyContext *)context)->ctx_vars->h_count != 0;
}

/* Lets go of what is kept for later calls, if it holds anybody's values. */
static inline void hasten_forget_contexts(PyObject **scratch) {
    if (hasten_holds_values(hasten_latest)) Py_CLEAR(hasten_latest);
    if (hasten_holds_values(*scratch)) Py_CLEAR(*scratch);
}
#endif
