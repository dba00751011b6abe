/* Extension types that can be changed like Python's own classes; included before everything else (see setup.py).
 *
 * Cython's types are static and immutable. The flag is easily cleared, but setting `__name__` or `__qualname__` of such a
 * type then writes where only a heap type has fields, and a type that has no operators of its own shares its base's
 * tables, so that an operator set on one is set on the other. So each type that can be derived from is moved, before it is
 * made ready, to a place with the room and the tables of a heap type. It stays a static one in all else: its instances
 * neither count nor visit it, and free lists serve it.
 *
 * Cython declares and defines `__Pyx_PyType_Ready(PyTypeObject *t)`, and calls `__Pyx_PyType_Ready(__pyx_mstate->...)`;
 * the first token tells them apart. */
#ifndef HASTEN_ROOMS_H
#define HASTEN_ROOMS_H
#ifndef PY_SSIZE_T_CLEAN
#  define PY_SSIZE_T_CLEAN
#endif
#include <Python.h>
#include <string.h>

#define __Pyx_PyType_Ready(arg) HASTEN_READY_##arg)
#define HASTEN_READY_PyTypeObject __Pyx_PyType_Ready_in_place(PyTypeObject
#define HASTEN_READY___pyx_mstate HASTEN_READY_ROOMY(&__pyx_mstate
#define HASTEN_READY_ROOMY(at) (hasten_make_room(at) < 0 ? -1 : __Pyx_PyType_Ready_in_place(*(at)))

typedef struct {
    PyHeapTypeObject heap;
    newfunc made_by;        /* of an open type: its tp_new and tp_alloc when it was opened; see functions.h */
    allocfunc alloc;
} hasten_room;

#define HASTEN_OWN_TABLE(slot, table) \
    if (t->slot != NULL) room->heap.table = *t->slot; \
    t->slot = &room->heap.table

/* Moves the type that *at points to. -1 with an exception set */
static inline int hasten_make_room(PyTypeObject **at) {
    PyTypeObject *t = *at;
    hasten_room *room;
    const char *dot = strrchr(t->tp_name, '.');
    if (!(t->tp_flags & Py_TPFLAGS_BASETYPE)) return 0;
    room = (hasten_room *)PyMem_RawCalloc(1, sizeof *room);    /* for ever, as the static one */
    if (room == NULL) { PyErr_NoMemory(); return -1; }
    memcpy(room, t, sizeof *t);
    t = &room->heap.ht_type;
    HASTEN_OWN_TABLE(tp_as_async, as_async);
    HASTEN_OWN_TABLE(tp_as_number, as_number);
    HASTEN_OWN_TABLE(tp_as_mapping, as_mapping);
    HASTEN_OWN_TABLE(tp_as_sequence, as_sequence);
    HASTEN_OWN_TABLE(tp_as_buffer, as_buffer);
    room->heap.ht_name = PyUnicode_FromString(dot == NULL ? t->tp_name : dot + 1);
    room->heap.ht_qualname = Py_XNewRef(room->heap.ht_name);
    if (room->heap.ht_name == NULL) { PyMem_RawFree(room); return -1; }
    *at = t;
    return 0;
}

/* The room of a type. NULL: the type was not moved, or is a class of Python's. */
static inline hasten_room *hasten_room_of(PyTypeObject *t) {
    if (t->tp_flags & Py_TPFLAGS_HEAPTYPE || t->tp_as_number != &((PyHeapTypeObject *)t)->as_number) return NULL;
    return (hasten_room *)t;
}
#endif
