/* Contexts for callbacks, without a copy for each.
 *
 * call_soon() and call_later() owe each callback a copy of the context that is current when they are called. Mostly the
 * variables have not changed since the last call: then the callbacks share one copy, the snapshot, which is never
 * entered. What is entered to run one is a scratch copy of it; if the callback has set no variable and nobody kept the
 * scratch copy, it is as good as new, and serves the next one. The thread even stays inside it, until something that
 * is no such callback is about to run.
 *
 * The variables of a context are an immutable map (Python/hamt.c): where the maps are the same object, so is the content. */
#ifndef HASTEN_CONTEXTS_H
#define HASTEN_CONTEXTS_H
#include "internals.h"
#include "internal/pycore_context.h"
#include "internal/pycore_hamt.h"

static PyObject *hasten_latest;     /* the snapshot made last; owned, or NULL */
static HASTEN_THREAD PyThreadState *hasten_thread HASTEN_NEAR;      /* of a thread that runs a loop, else NULL */

static inline PyThreadState *hasten_this_thread(void) {
    return hasten_thread != NULL ? hasten_thread : PyThreadState_Get();
}

static inline PyObject *hasten_vars(PyObject *context) { return (PyObject *)((PyContext *)context)->ctx_vars; }

/* A snapshot of the current context. New reference. */
static inline PyObject *hasten_snapshot(void) {
    PyObject *current = hasten_this_thread()->context, *old;
    if (current != NULL && hasten_latest != NULL && hasten_vars(hasten_latest) == hasten_vars(current))
        return Py_NewRef(hasten_latest);
    current = PyContext_CopyCurrent();
    if (current == NULL) return NULL;
    old = hasten_latest;
    hasten_latest = Py_NewRef(current);
    Py_XDECREF(old);
    return current;
}

/* Leaves the context that the thread has stayed inside of. If another one has been entered meanwhile, and its code runs a
 * tick of its own, ours cannot be left now: that is done once the other one has been left. */
static inline void hasten_step_out(hasten_contexts *c) {
    PyObject *left = c->inside, *old;
    if (left == NULL || hasten_this_thread()->context != left) return;
    c->inside = NULL;
    if (PyContext_Exit(left) < 0) PyErr_Clear();    /* may run watchers of contexts, which may run anything */
    old = c->scratch;
    c->scratch = left;
    Py_XDECREF(old);
}

/* Enters a context that has a snapshot's variables: `snapshot` itself if no other callback shares it, else a copy.
 * New reference, or NULL with an exception set. */
static inline PyObject *hasten_step_in(hasten_contexts *c, PyObject *snapshot) {
    PyObject *own = c->inside;
    if (own != NULL && hasten_vars(own) == hasten_vars(snapshot) && hasten_this_thread()->context == own) {
        c->inside = NULL;
        return own;
    }
    hasten_step_out(c);
    own = c->scratch;
    if (Py_REFCNT(snapshot) == 1) own = Py_NewRef(snapshot);        /* no sharers, and none to come */
    else if (own != NULL && hasten_vars(own) == hasten_vars(snapshot)) c->scratch = NULL;
    else own = PyContext_Copy(snapshot);
    if (own != NULL && PyContext_Enter(own) < 0) Py_CLEAR(own);
    return own;
}

/* Calls `cb(*args)` as if in a copy of `snapshot`. Besides the callbacks that share the snapshot, only the caller may refer
 * to it. If the callback has set a variable, the outcome names the copy in which it ran. */
static inline hasten_outcome hasten_call_shared(hasten_contexts *c, PyObject *snapshot, PyObject *cb, PyObject *args) {
    PyObject *own = hasten_step_in(c, snapshot);
    hasten_outcome out;
    if (own == NULL) return hasten_failed(snapshot);
    out = hasten_apply(cb, args);
    if (out.kind == HASTEN_RETURNED && own != snapshot && hasten_vars(own) == hasten_vars(snapshot) && Py_REFCNT(own) == 2
            && ((PyContext *)own)->ctx_weakreflist == NULL && c->inside == NULL && hasten_this_thread()->context == own) {
        c->inside = own;
        return out;
    }
    if (PyContext_Exit(own) < 0) PyErr_Clear();
    if (out.kind == HASTEN_RAISED || hasten_vars(own) != hasten_vars(snapshot)) out.context = own;
    else Py_DECREF(own);
    return out;
}

static inline int hasten_holds_values(PyObject *context) {
    return context != NULL && ((PyContext *)context)->ctx_vars->h_count != 0;
}

/* Drops what is kept for later calls, if it refers to values of the program. */
static inline void hasten_forget_contexts(hasten_contexts *c) {
    hasten_step_out(c);
    if (hasten_holds_values(hasten_latest)) Py_CLEAR(hasten_latest);
    if (hasten_holds_values(c->scratch)) Py_CLEAR(c->scratch);
}

static inline void hasten_drop_contexts(hasten_contexts *c) {
    hasten_step_out(c);
    Py_CLEAR(c->scratch);
}
#endif
