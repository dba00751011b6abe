/* Free lists for extension types, behind tp_alloc and tp_free.
 *
 * Cython's own lists serve root types without __del__ only: an object from one keeps the garbage collector's "was
 * finalized" mark. Here the collector's header is wiped. Only exact instances are kept; subclasses go the usual way.
 * Without the GIL there are none. AddressSanitizer has to see each free: there they are used only if HASTEN_POOLS is set in
 * the environment, and what lies in one may not be touched. */
#ifndef HASTEN_POOL_H
#define HASTEN_POOL_H
#include <Python.h>
#include <string.h>

#if defined(Py_GIL_DISABLED) || defined(Py_DEBUG)
#  define HASTEN_POOLS 0
#elif defined(__SANITIZE_ADDRESS__)
#  include <sanitizer/asan_interface.h>
#  include <stdlib.h>
#  define HASTEN_POOLS (getenv("HASTEN_POOLS") != NULL)
#else
#  define HASTEN_POOLS 1
#endif
#ifndef ASAN_POISON_MEMORY_REGION
#  define ASAN_POISON_MEMORY_REGION(at, size) ((void)0)
#  define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)0)
#endif

enum { HASTEN_POOL_ROOM = 128 };        /* types, at most half of it in use */
typedef struct {
    PyTypeObject *type;
    void *head;             /* chained through the word after the object's head */
    Py_ssize_t count, limit;
} hasten_pool;
static hasten_pool hasten_pools[HASTEN_POOL_ROOM];
static int hasten_pools_used;

static inline hasten_pool *hasten_pool_of(PyTypeObject *t) {
    size_t i = ((uintptr_t)t >> 5) ^ ((uintptr_t)t >> 12);
    for (;; i++) {
        hasten_pool *p = &hasten_pools[i % HASTEN_POOL_ROOM];
        if (p->type == t || p->type == NULL) return p;
    }
}

static PyObject *hasten_pool_alloc(PyTypeObject *t, Py_ssize_t items) {
    hasten_pool *p = hasten_pool_of(t);
    PyObject *o = (PyObject *)p->head;
    if (p->type == NULL) return PyType_GenericAlloc(t, items);  /* inherited from a base that has a pool */
    if (o != NULL) {
        ASAN_UNPOISON_MEMORY_REGION(o, (size_t)t->tp_basicsize);
        p->head = *(void **)(o + 1);
        p->count--;
    }
    else {
        /* Not counted as new by the garbage collector: what runs it are the coroutines, contexts and frames that come
         * with each of these, and thousands of tasks or timers that live on are not looked through so often. */
        size_t head = PyType_IS_GC(t) ? 2 * sizeof(uintptr_t) : 0;
        char *memory = (char *)PyObject_Malloc(head + (size_t)t->tp_basicsize);
        if (memory == NULL) return PyErr_NoMemory();
        memset(memory, 0, head);
        o = (PyObject *)(memory + head);
    }
    memset((void *)o, 0, (size_t)t->tp_basicsize);
    PyObject_Init(o, t);
    if (PyType_IS_GC(t)) PyObject_GC_Track(o);
    return o;
}

static void hasten_pool_free(void *memory) {
    PyObject *o = (PyObject *)memory;
    PyTypeObject *t = Py_TYPE(o);
    hasten_pool *p = hasten_pool_of(t);
    if (p->count >= p->limit) {     /* also: no pool of this type's own, both are 0 */
        if (p->type == NULL && PyType_IS_GC(t)) PyObject_GC_Del(o);
        else PyObject_Free(PyType_IS_GC(t) ? (void *)((uintptr_t *)o - 2) : (void *)o);
        return;
    }
    if (PyType_IS_GC(t)) memset((void *)((uintptr_t *)o - 2), 0, 2 * sizeof(uintptr_t));
    *(void **)(o + 1) = p->head;
    p->head = o;
    p->count++;
    ASAN_POISON_MEMORY_REGION(o, (size_t)t->tp_basicsize);
}

/* Keeps up to `limit` dead instances of exactly this static type for the next ones. */
static inline void hasten_pool_add(PyObject *type, Py_ssize_t limit) {
    PyTypeObject *t = (PyTypeObject *)type;
    hasten_pool *p = hasten_pool_of(t);
    if (!HASTEN_POOLS || p->type != NULL || 2 * hasten_pools_used >= HASTEN_POOL_ROOM) return;
    if (t->tp_itemsize != 0 || (size_t)t->tp_basicsize < sizeof(PyObject) + sizeof(void *)) return;
    if (t->tp_flags & Py_TPFLAGS_HEAPTYPE) return;
#ifdef Py_TPFLAGS_PREHEADER
    if (t->tp_flags & Py_TPFLAGS_PREHEADER) return;
#elif defined(Py_TPFLAGS_MANAGED_DICT)
    if (t->tp_flags & Py_TPFLAGS_MANAGED_DICT) return;
#endif
    p->type = t;
    p->limit = limit;
    hasten_pools_used++;
    t->tp_alloc = hasten_pool_alloc;
    t->tp_free = hasten_pool_free;
}
#endif
