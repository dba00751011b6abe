/* What the guard's thread looks at (see guard.h). The loop's thread and the guard's read and write it at the same time. */
#ifndef HASTEN_GUARD_WORD_H
#define HASTEN_GUARD_WORD_H
#include "hasten.h"

typedef struct hasten_word {
    int due;                        /* something is to be done; written with the interpreter's lock held */
    int late;                       /* for longer than a look of the guard's; written by the guard, and with due */
    uintptr_t times;                /* it became due; only the loop's thread writes it */
    uintptr_t seen;                 /* the guard's: `times` at its latest look */
    int looks;                      /* the guard's: how often it has found it due since then */
    int listed;
    int inherited;                  /* from before a fork: what waits is the parent's, until it is abandoned */
    PyObject *owner;                /* borrowed */
    struct hasten_word *next;
} hasten_word;

static inline int hasten_word_is_due(hasten_word *w) { return __atomic_load_n(&w->due, __ATOMIC_RELAXED); }
static inline int hasten_word_is_late(hasten_word *w) { return __atomic_load_n(&w->late, __ATOMIC_RELAXED); }

static inline int hasten_word_is_inherited(hasten_word *w) { return w->inherited; }

static inline void hasten_word_make_late(hasten_word *w) { __atomic_store_n(&w->late, 1, __ATOMIC_RELAXED); }

static inline void hasten_word_done(hasten_word *w) {
    __atomic_store_n(&w->due, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&w->late, 0, __ATOMIC_RELAXED);
}

static inline void hasten_word_disown(hasten_word *w) { w->inherited = 0; }
#endif
