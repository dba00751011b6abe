/* CPython's own structures, for the one leaf that includes this file (step.pyx): the running task's
 * slot (3.14 and newer), and the innermost Python frame without making a frame object of it.
 * The layouts belong to a minor version; an extension module is built for one minor version. */
#ifndef HASTEN_INTERNALS_H
#define HASTEN_INTERNALS_H
#ifndef Py_BUILD_CORE
#  define Py_BUILD_CORE 1
#endif
#include <Python.h>
#undef _PyGC_FINALIZED /* Cython includes Python.h before Py_BUILD_CORE is defined: 3.12 then has it as a macro, too */
#if PY_VERSION_HEX < 0x030E0000
#  ifdef __GNUC__
#    pragma GCC diagnostic push
#    pragma GCC diagnostic ignored "-Wdeprecated-declarations"     /* within the header itself, 3.12 and newer */
#  endif
#  include "internal/pycore_dict.h"
#  ifdef __GNUC__
#    pragma GCC diagnostic pop
#  endif
#endif
#include "internal/pycore_frame.h"
#if PY_VERSION_HEX >= 0x030E0000
#  include "internal/pycore_interpframe.h"
#  include "internal/pycore_tstate.h"
#endif
#include "hasten.h"

#if PY_VERSION_HEX < 0x030E0000
/* The interpreter exports these, but declares them in an internal header or not at all. */
extern int _PyDict_SetItem_KnownHash(PyObject *mp, PyObject *key, PyObject *item, Py_hash_t hash);
extern int _PyDict_DelItem_KnownHash(PyObject *mp, PyObject *key, Py_hash_t hash);
#endif

/* Until 3.13 the current tasks stand in a dict of loops. A loop's next task mostly replaces its last: where the dict is as
 * it was left, the entry is written without a search. `table` and `at` remember the place. */
#if PY_VERSION_HEX < 0x030E0000
static inline int hasten_replace(PyObject *dict, PyObject *key, PyObject *value, Py_hash_t hash,
                                 void **table, Py_ssize_t *at) {
    PyDictObject *d = (PyDictObject *)dict;
    PyDictKeyEntry *entries;
    Py_ssize_t i = *at;
    if (d->ma_keys == *table && i < d->ma_keys->dk_nentries) {
        entries = DK_ENTRIES(d->ma_keys);
        if (entries[i].me_key == key && entries[i].me_value != NULL) {
            PyObject *old = entries[i].me_value;
            entries[i].me_value = Py_NewRef(value);
            Py_DECREF(old);
            return 0;
        }
    }
    if (_PyDict_SetItem_KnownHash(dict, key, value, hash) < 0) return -1;
    *table = NULL;
    if (d->ma_values != NULL || DK_IS_UNICODE(d->ma_keys)) return 0;
    entries = DK_ENTRIES(d->ma_keys);
    for (i = d->ma_keys->dk_nentries - 1; i >= 0; i--) {
        if (entries[i].me_key == key && entries[i].me_value != NULL) {
            *table = d->ma_keys;
            *at = i;
            break;
        }
    }
    return 0;
}
#endif

/* Where 3.14+ keep the running task of this thread; NULL on older Pythons. */
static inline PyObject **hasten_task_slot(void) {
#if PY_VERSION_HEX >= 0x030E0000
    return &((_PyThreadStateImpl *)PyThreadState_GET())->asyncio_running_task;
#else
    return NULL;
#endif
}

static inline PyCodeObject *hasten_frame_code(struct _PyInterpreterFrame *f) {   /* borrowed */
#if PY_VERSION_HEX >= 0x030E0000
    return _PyFrame_GetCode(f);
#elif PY_VERSION_HEX >= 0x030D0000
    return (PyCodeObject *)f->f_executable;
#else
    return f->f_code;
#endif
}

static inline struct _PyInterpreterFrame *hasten_complete(struct _PyInterpreterFrame *f) {
#if PY_VERSION_HEX >= 0x030C0000
    return f == NULL ? NULL : _PyFrame_GetFirstComplete(f);
#else
    while (f != NULL && _PyFrame_IsIncomplete(f)) f = f->previous;
    return f;
#endif
}

/* Files whose functions only hand a coroutine on (asyncio/tasks.py…), by the very string objects that their code
 * objects share: comparing pointers is all that a new task can afford. */
enum { HASTEN_SKIPS = 16 };
static PyObject *hasten_skipped[HASTEN_SKIPS];
static int hasten_skips;

static inline void hasten_skip(PyObject *filename) {
    for (int i = 0; i < hasten_skips; i++) if (hasten_skipped[i] == filename) return;
    if (hasten_skips < HASTEN_SKIPS) { Py_INCREF(filename); hasten_skipped[hasten_skips++] = filename; }
}

/* The innermost Python frame outside the skipped files: its code (new, or NULL without an exception) and the
 * instruction's offset in bytes, as a line table wants it. */
static inline PyObject *hasten_origin(int *lasti) {
    PyThreadState *ts = PyThreadState_GET();
#if PY_VERSION_HEX >= 0x030D0000
    struct _PyInterpreterFrame *f = hasten_complete(ts->current_frame);
#else
    struct _PyInterpreterFrame *f = hasten_complete(ts->cframe->current_frame);
#endif
    for (int depth = 0; f != NULL && depth < 8; depth++) {
        PyCodeObject *code = hasten_frame_code(f);
        int skip = 0;
        for (int i = 0; i < hasten_skips; i++) skip |= hasten_skipped[i] == code->co_filename;
        if (!skip) {
            *lasti = _PyInterpreterFrame_LASTI(f) * (int)sizeof(_Py_CODEUNIT);
            Py_INCREF(code);
            return (PyObject *)code;
        }
        f = hasten_complete(f->previous);
    }
    return NULL;
}
#endif
