/* The interpreter's lock (GIL), for the one leaf that includes this file. The layouts belong to a minor version; an
 * extension module is built for one minor version.
 *
 * A thread that waits for the lock sleeps on a condition variable, and looks again when the lock is let go of. If it is
 * taken back within a few microseconds, the waiting thread finds it taken when it has woken up, and goes to sleep again. So
 * a thread that gives it away for others has to stay away until one of them has it.
 *
 * Sources: Python/ceval_gil.c (take_gil, drop_gil); glibc's nptl/pthread_cond_wait.c (__wrefs counts waiters, from bit 3). */
#ifndef HASTEN_INTERPRETER_H
#define HASTEN_INTERPRETER_H
#ifndef Py_BUILD_CORE
#  define Py_BUILD_CORE 1
#endif
#include <Python.h>
#undef _PyGC_FINALIZED /* see internals.h */
#if PY_VERSION_HEX < 0x030C0000
#  include "internal/pycore_runtime.h"
#else
#  include "internal/pycore_interp.h"
#endif
#include "hasten.h"
#ifndef _WIN32
#  include <sched.h>
#endif

/* Older ones, and other C libraries, count them elsewhere. */
#ifdef __GLIBC_PREREQ
#  if __GLIBC_PREREQ(2, 25)
#    define HASTEN_COUNTS_WAITERS
#  endif
#endif

#if defined(_POSIX_THREADS) && defined(__GNUC__)
static inline struct _gil_runtime_state *hasten_lock(PyThreadState *ts) {
#if PY_VERSION_HEX < 0x030C0000
    (void)ts;
    return &_PyRuntime.ceval.gil;
#else
    return ts->interp->ceval.gil;
#endif
}

/* Does another thread wait for the lock? Where the C library does not show that: could one be waiting? */
static inline int hasten_lock_is_wanted(PyThreadState *ts, struct _gil_runtime_state *lock) {
#ifdef HASTEN_COUNTS_WAITERS
    (void)ts;
    return (__atomic_load_n(&lock->cond.__data.__wrefs, __ATOMIC_RELAXED) >> 3) != 0;
#else
    (void)lock;
    return PyThreadState_Next(PyInterpreterState_ThreadHead(PyThreadState_GetInterpreter(ts))) != NULL;
#endif
}

/* Where the C library does not show it: after each try in which no thread took the lock, it is tried half as often. Without
 * that, a thread that only sleeps (an idle executor's) would cost most of the time. In the end one time in 128 is a try,
 * which is every 6 ms or so of a busy loop. */
#ifdef HASTEN_COUNTS_WAITERS
static inline int hasten_is_worth_it(void) { return 1; }
static inline void hasten_came(int somebody) { (void)somebody; }
#else
static int hasten_in_vain, hasten_rest;
static inline int hasten_is_worth_it(void) {
    if (hasten_rest == 0) return 1;
    hasten_rest--;
    return 0;
}
static inline void hasten_came(int somebody) {
    hasten_in_vain = somebody ? 0 : hasten_in_vain < 7 ? hasten_in_vain + 1 : 7;
    hasten_rest = (1 << hasten_in_vain) - 1;
}
#endif

/* Has another thread the lock, or had it since? Where both threads share a core, it is often free again at the first look. */
static inline int hasten_lock_was_taken(struct _gil_runtime_state *lock, unsigned long switches) {
    return __atomic_load_n((int *)&lock->locked, __ATOMIC_RELAXED) ||
           __atomic_load_n(&lock->switch_number, __ATOMIC_RELAXED) != switches;
}

/* How often the lock had changed hands when this thread was here last. */
static __thread unsigned long hasten_seen;

/* Lets another thread have the lock if one waits for it, and none has had it since this was called last. Else a loop that
 * has slept, and waited for the lock when it woke up, would at once wait once more: beside threads that compute, that is
 * sys.getswitchinterval() for each of them, before it has even looked at what it was woken for. */
static void hasten_share_lock(void) {
    PyThreadState *ts = PyThreadState_Get();
    struct _gil_runtime_state *lock = hasten_lock(ts);
    unsigned long switches = lock->switch_number;
    double patience;
    int came;
#ifdef Py_GIL_DISABLED
    if (!lock->enabled) return;
#endif
    if (switches != hasten_seen) {
        hasten_seen = switches;
        return;
    }
    if (!hasten_lock_is_wanted(ts, lock) || !hasten_is_worth_it()) return;
    PyEval_SaveThread();
    /* a sleeping core takes some 50 us to wake up */
    patience = hasten_monotonic() + 200e-6;
    while (!(came = hasten_lock_was_taken(lock, switches)) && hasten_monotonic() < patience) sched_yield();
    PyEval_RestoreThread(ts);
    hasten_seen = lock->switch_number;
    hasten_came(came);
}
#else
static void hasten_share_lock(void) {
    Py_BEGIN_ALLOW_THREADS
    Py_END_ALLOW_THREADS
}
#endif
#endif
