/* How much time has passed since the last poll, asked in every tick that finds work: by the processor's own counter, which
 * costs a tenth of a system clock. It only decides how often the poller is asked, so it need not be exact, and a counter
 * that jumps (a virtual machine that moves) does no harm.
 *
 * Sources: Intel SDM vol. 2, RDTSC; Arm ARM, CNTVCT_EL0. */
#ifndef HASTEN_CLOCK_H
#define HASTEN_CLOCK_H
#include "hasten.h"

static inline uint64_t hasten_count(void) {
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
    return __builtin_ia32_rdtsc();
#elif defined(__GNUC__) && defined(__aarch64__)
    uint64_t count;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
    return count;
#else
    return (uint64_t)(hasten_monotonic() * 1e9);
#endif
}

/* What the counter will show in `wait` seconds, estimated from its speed since the first call. `now` is
 * hasten_monotonic(). */
static inline uint64_t hasten_due(double now, double wait) {
    static uint64_t first_count;
    static double first, per_second = 1e9;      /* at the beginning: no processor counts slower by much */
    uint64_t count = hasten_count();
    double passed = now - first;
    if (first == 0.0 || count < first_count || passed < 0.0) {
        first = now;
        first_count = count;
    }
    else if (passed > 1e-3) per_second = (double)(count - first_count) / passed;
    return count + (uint64_t)(wait * per_second);
}

/* Has the counter reached `due`? */
static inline int hasten_count_reached(uint64_t due) { return (int64_t)(hasten_count() - due) >= 0; }

#endif
