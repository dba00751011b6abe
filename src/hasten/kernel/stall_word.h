/* What a loop shows to the watch (see stall_watch.h), and the watch to the loop. Both threads read and write it at the same
 * time. */
#ifndef HASTEN_STALL_WORD_H
#define HASTEN_STALL_WORD_H
#include "hasten.h"

typedef struct hasten_stall_word {
    double awake;                       /* since when; 0: it sleeps, or does not run. The loop's thread writes it */
    int sampled;                        /* there is something to take. The watch writes it */
} hasten_stall_word;

static inline void hasten_stall_awake(hasten_stall_word *w, double since) { __atomic_store(&w->awake, &since, __ATOMIC_RELAXED); }
static inline int hasten_stall_sampled(hasten_stall_word *w) { return __atomic_load_n(&w->sampled, __ATOMIC_RELAXED); }
#endif
