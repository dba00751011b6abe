/* Free lists for extension types, behind tp_alloc and tp_free.
 *
 * Cython's own lists serve root types without __del__ only: an object from one keeps the garbage collector's "was
 * finalized" mark. Here the collector's header is wiped. Only exact instances are kept; subclasses go the usual way.
 * Without the GIL there are none. AddressSanitizer has to see each free: there they are used only if HASTEN_POOLS is set in
 * the environment, and what lies in one may not be touched.
 *
 * The garbage collector starts when so many more objects were made than went away, as the interpreter's allocating and
 * freeing functions count them. A program whose garbage is made of our objects alone would never start it, if these did
 * not count. They do: eight of them for one, since with most come coroutines, contexts and frames that count as well, and
 * thousands of tasks or timers that live on need not be looked through so often. When the collector's turn has come, the
 * eighth object is allocated by the interpreter, which sees to the collection. */
#ifndef HASTEN_POOL_H
#define HASTEN_POOL_H
#include "internals.h"
#include "internal/pycore_interp.h"
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

/* ---- what the garbage collector counts ----------------------------------------------------- */

static struct gc_generation *hasten_young;      /* the interpreter's youngest generation; NULL: it was not found */
static int *hasten_gc_enabled;

/* Looks where the headers say that the generations are, and checks that the numbers there behave like the collector's. If
 * they do not, there are no pools. */
static inline void hasten_gc_find(void) {
    struct _gc_runtime_state *gc = &PyInterpreterState_Get()->gc;
#if PY_VERSION_HEX >= 0x030E0000
    struct gc_generation *young = &gc->permanent_generation - NUM_GENERATIONS;  /* by whatever name, in all of 3.14 */
#else
    struct gc_generation *young = &gc->generations[0];
#endif
    int was = PyGC_Disable(), before = young->count, right = gc->enabled == 0;
    PyObject *o = PySet_New(NULL);
    right = right && o != NULL && young->count == before + 1;
    Py_XDECREF(o);
    right = right && young->count == before;
    PyErr_Clear();
    if (was) PyGC_Enable();
    if (!right || gc->enabled != was) return;
    hasten_young = young;
    hasten_gc_enabled = &gc->enabled;
}

/* Would the next object that the interpreter allocates start the collector? */
static inline int hasten_gc_due(void) {
    return hasten_young->count >= hasten_young->threshold && *hasten_gc_enabled && hasten_young->threshold != 0;
}

enum { HASTEN_GC_SHARE = 8 };
static int hasten_gc_told;      /* objects made, less those freed, since the collector's count was changed last */

/* ---- allocating and freeing ----------------------------------------------------------------- */

static PyObject *hasten_pool_alloc(PyTypeObject *t, Py_ssize_t items) {
    hasten_pool *p = hasten_pool_of(t);
    PyObject *o = (PyObject *)p->head;
    if (p->type == NULL) return PyType_GenericAlloc(t, items);  /* inherited from a base that has a pool */
    if (++hasten_gc_told >= HASTEN_GC_SHARE) {
        hasten_gc_told = 0;
        if (hasten_gc_due()) return PyType_GenericAlloc(t, items);
        hasten_young->count++;
    }
    if (o != NULL) {
        ASAN_UNPOISON_MEMORY_REGION(o, (size_t)t->tp_basicsize);
        p->head = *(void **)(o + 1);
        p->count--;
    }
    else {
        char *memory = (char *)PyObject_Malloc(2 * sizeof(uintptr_t) + (size_t)t->tp_basicsize);
        if (memory == NULL) return PyErr_NoMemory();
        memset(memory, 0, 2 * sizeof(uintptr_t));
        o = (PyObject *)(memory + 2 * sizeof(uintptr_t));
    }
    memset((void *)o, 0, (size_t)t->tp_basicsize);
    PyObject_Init(o, t);
    PyObject_GC_Track(o);
    return o;
}

static void hasten_pool_free(void *memory) {
    PyObject *o = (PyObject *)memory;
    PyTypeObject *t = Py_TYPE(o);
    hasten_pool *p = hasten_pool_of(t);
    if (p->type == NULL) {
        PyObject_GC_Del(o);
        return;
    }
    if (--hasten_gc_told <= -HASTEN_GC_SHARE) {
        hasten_gc_told = 0;
        if (hasten_young->count > 0) hasten_young->count--;
    }
    if (p->count >= p->limit) {
        PyObject_Free((void *)((uintptr_t *)o - 2));
        return;
    }
    memset((void *)((uintptr_t *)o - 2), 0, 2 * sizeof(uintptr_t));
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
    if (!PyType_IS_GC(t) || t->tp_flags & Py_TPFLAGS_HEAPTYPE || hasten_young == NULL) return;
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
