/* A thread that acts where a callback blocks the loop: it looks 200 times in a second, without the interpreter's lock,
 * whether something has been due for longer than that, and only then takes the lock.
 *
 * What is looked at is a word for each loop. Found due twice, it is marked as late, which the loop's own thread sees between
 * two callbacks; found due once more, the guard lets its owner act. No clock is asked: the looks are the clock. The thread
 * sleeps while no word has become due for some time, is ended before a fork and at the interpreter's end, and begun again
 * when it is needed. */
#ifndef HASTEN_GUARD_H
#define HASTEN_GUARD_H
#include "guard_word.h"
#include <errno.h>
#include <pthread.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <signal.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

enum {
    HASTEN_GUARD_NAP = 5000000,     /* ns between two looks */
    HASTEN_GUARD_IDLE = 100,        /* looks in vain, then it sleeps */
    HASTEN_GUARD_STACK = 512 * 1024
};

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t thread;
    hasten_word *first;             /* under the mutex, as all below */
    uintptr_t number;               /* of the thread that is to go on; any other one ends */
    long kernel_id;                 /* the last thread's that began to run, by which the kernel knows it */
    int prepared, exists, over;
    int forks;                      /* that are under way: no thread begins until they are over */
    int asleep;                     /* also read without the mutex */
    int (*act)(PyObject *owner);
} hasten_guard = {.mutex = PTHREAD_MUTEX_INITIALIZER, .asleep = 1};

/* Looks at all words, under the mutex. 2: one is due since two looks before; 1: one was due since the last look; 0: none. */
static int hasten_guard_look(void) {
    int found = 0;
    for (hasten_word *w = hasten_guard.first; w != NULL; w = w->next) {
        uintptr_t times = __atomic_load_n(&w->times, __ATOMIC_RELAXED);
        if (times != w->seen) {
            w->seen = times;
            w->looks = 0;
            if (found == 0) found = 1;
        }
        if (!hasten_word_is_due(w)) continue;
        if (found == 0) found = 1;
        if (++w->looks == 2) __atomic_store_n(&w->late, 1, __ATOMIC_RELAXED);
        else if (w->looks > 2) found = 2;
    }
    return found;
}

/* A thread state for this thread, or NULL without memory for it, where PyGILState_Ensure() would end the process. (So would
 * the public function of 3.11: Python/pystate.c, PyThreadState_New.) */
#if PY_VERSION_HEX < 0x030C0000
PyAPI_FUNC(void) _PyThreadState_SetCurrent(PyThreadState *state);
static PyThreadState *hasten_guard_state(void) {
    PyThreadState *state = _PyThreadState_Prealloc(PyInterpreterState_Main());
    if (state != NULL) _PyThreadState_SetCurrent(state);
    return state;
}
#else
static PyThreadState *hasten_guard_state(void) { return PyThreadState_New(PyInterpreterState_Main()); }
#endif

/* Takes the interpreter's lock and lets the owners of words that are due act. Much may have changed until it has the lock. */
static void hasten_guard_act(uintptr_t number) {
    PyThreadState *state = hasten_guard_state();
    if (state == NULL) return;
    PyEval_RestoreThread(state);
    for (;;) {
        PyObject *owner = NULL;
        pthread_mutex_lock(&hasten_guard.mutex);
        hasten_word *w = hasten_guard.number == number ? hasten_guard.first : NULL;
        while (w != NULL && !(w->looks > 2 && hasten_word_is_due(w) && w->times == w->seen && Py_REFCNT(w->owner) > 0))
            w = w->next;
        if (w != NULL) {
            w->looks = 0;           /* whatever comes of it, others have their turn */
            owner = Py_NewRef(w->owner);    /* who holds the interpreter's lock can, but for one that is going already */
        }
        pthread_mutex_unlock(&hasten_guard.mutex);
        if (owner == NULL) break;
        if (hasten_guard.act(owner) < 0) PyErr_WriteUnraisable(owner);
        Py_DECREF(owner);
    }
    PyThreadState_Clear(state);
    PyThreadState_DeleteCurrent();
}

/* Waits for some time, and longer by no step of the wall clock. False when it is over, true if woken before. */
static int hasten_guard_wait(void) {
    struct timespec until = {0, HASTEN_GUARD_NAP};
#ifdef __APPLE__
    return pthread_cond_timedwait_relative_np(&hasten_guard.changed, &hasten_guard.mutex, &until) == 0;
#else
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += HASTEN_GUARD_NAP;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    return pthread_cond_timedwait(&hasten_guard.changed, &hasten_guard.mutex, &until) == 0;
#endif
}

static void hasten_guard_nap(uintptr_t number) {
    while (hasten_guard.number == number && hasten_guard_wait()) {}
}

static void *hasten_guard_main(void *argument) {
    uintptr_t number = (uintptr_t)argument;
    int in_vain = 0;
#ifdef __linux__
    prctl(PR_SET_NAME, "hasten-guard");     /* for who looks at the process's threads: this one wakes nobody */
#endif
    pthread_mutex_lock(&hasten_guard.mutex);
#ifdef SYS_gettid
    hasten_guard.kernel_id = syscall(SYS_gettid);
#endif
    while (hasten_guard.number == number) {
        if (in_vain >= HASTEN_GUARD_IDLE) {
            /* Who makes a word due looks at `asleep` afterwards, but without a barrier, which would cost more than all else
             * that it does. Within a nap each processor sees what the other has written: then it is looked at once more. */
            __atomic_store_n(&hasten_guard.asleep, 1, __ATOMIC_SEQ_CST);
            hasten_guard_nap(number);
            if (hasten_guard_look() == 0)
                while (hasten_guard.asleep && hasten_guard.number == number)
                    pthread_cond_wait(&hasten_guard.changed, &hasten_guard.mutex);
            if (hasten_guard.number != number) break;
            __atomic_store_n(&hasten_guard.asleep, 0, __ATOMIC_SEQ_CST);
            in_vain = 0;
            continue;
        }
        hasten_guard_nap(number);
        switch (hasten_guard_look()) {
        case 0: in_vain++; break;
        case 1: in_vain = 0; break;
        default:
            in_vain = 0;
            pthread_mutex_unlock(&hasten_guard.mutex);
            hasten_guard_act(number);
            pthread_mutex_lock(&hasten_guard.mutex);
        }
    }
    pthread_mutex_unlock(&hasten_guard.mutex);
    return NULL;
}

/* Under the mutex. Signals go to the program's threads, not to this one. Where there can be no thread, nothing guards. */
static void hasten_guard_begin(void) {
    pthread_attr_t attributes;
    pthread_condattr_t condition;
    sigset_t all, before;
    if (!hasten_guard.prepared) {
        pthread_condattr_init(&condition);
#ifndef __APPLE__
        pthread_condattr_setclock(&condition, CLOCK_MONOTONIC);
#endif
        pthread_cond_init(&hasten_guard.changed, &condition);
        pthread_condattr_destroy(&condition);
        hasten_guard.prepared = 1;
    }
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, HASTEN_GUARD_STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    void *number = (void *)++hasten_guard.number;
    hasten_guard.exists = pthread_create(&hasten_guard.thread, &attributes, hasten_guard_main, number) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    __atomic_store_n(&hasten_guard.asleep, 0, __ATOMIC_SEQ_CST);    /* also if it failed: not to try at each write */
}

static void hasten_guard_rouse(hasten_word *w) {
    pthread_mutex_lock(&hasten_guard.mutex);
    if (!w->listed) {
        w->listed = 1;
        w->next = hasten_guard.first;
        hasten_guard.first = w;
    }
    if (!hasten_guard.exists) {
        if (!hasten_guard.over && !hasten_guard.forks) hasten_guard_begin();
    }
    else if (hasten_guard.asleep) {
        __atomic_store_n(&hasten_guard.asleep, 0, __ATOMIC_SEQ_CST);
        pthread_cond_broadcast(&hasten_guard.changed);
    }
    pthread_mutex_unlock(&hasten_guard.mutex);
}

/* The owner is to act, unless hasten_word_done() comes before. Only in the loop's thread. */
static inline void hasten_guard_expect(hasten_word *w) {
    __atomic_store_n(&w->times, w->times + 1, __ATOMIC_RELAXED);
    __atomic_store_n(&w->due, 1, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);    /* the compiler keeps this order; the processor is waited for: see above */
    if (!w->listed || __atomic_load_n(&hasten_guard.asleep, __ATOMIC_RELAXED)) hasten_guard_rouse(w);
}

/* The owner goes. */
static void hasten_guard_forget(hasten_word *w) {
    if (!w->listed) return;
    pthread_mutex_lock(&hasten_guard.mutex);
    hasten_word **at = &hasten_guard.first;
    while (*at != NULL && *at != w) at = &(*at)->next;
    if (*at == w) *at = w->next;
    w->listed = 0;
    pthread_mutex_unlock(&hasten_guard.mutex);
}

/* A thread that was joined may still be counted by the kernel for a moment, and Python warns of a fork by that count. */
static void hasten_guard_await_kernel(uintptr_t number) {
#if defined(__linux__) && defined(SYS_tgkill)
    struct timespec moment = {0, 20000};
    pthread_mutex_lock(&hasten_guard.mutex);
    long id = hasten_guard.number == number ? hasten_guard.kernel_id : 0;
    pthread_mutex_unlock(&hasten_guard.mutex);
    for (int i = 0; id != 0 && i < 500 && syscall(SYS_tgkill, getpid(), id, 0) == 0; i++) nanosleep(&moment, NULL);
#endif
}

/* Ends the thread and waits for that, without the interpreter's lock, which it may want. Then no other one begins: until
 * hasten_guard_resume() in a fork, or not at all where `over` says that the interpreter ends. */
static void hasten_guard_stop(int over) {
    pthread_t thread;
    pthread_mutex_lock(&hasten_guard.mutex);
    if (over) hasten_guard.over = 1;
    else hasten_guard.forks++;
    int exists = hasten_guard.exists;
    thread = hasten_guard.thread;
    hasten_guard.exists = 0;
    __atomic_store_n(&hasten_guard.asleep, 1, __ATOMIC_SEQ_CST);
    if (exists) {
        hasten_guard.number++;
        pthread_cond_broadcast(&hasten_guard.changed);
    }
    uintptr_t number = hasten_guard.number;
    pthread_mutex_unlock(&hasten_guard.mutex);
    if (!exists) return;
    Py_BEGIN_ALLOW_THREADS
    pthread_join(thread, NULL);
    hasten_guard_await_kernel(number);
    Py_END_ALLOW_THREADS
}

/* After a fork, for which it was stopped: loops of other threads may be waiting for it. */
static void hasten_guard_resume(void) {
    int wanted = 0;
    pthread_mutex_lock(&hasten_guard.mutex);
    hasten_guard.forks--;
    for (hasten_word *w = hasten_guard.first; w != NULL; w = w->next) wanted |= w->due != 0;
    if (wanted && !hasten_guard.exists && !hasten_guard.over && !hasten_guard.forks) hasten_guard_begin();
    pthread_mutex_unlock(&hasten_guard.mutex);
}

/* The first word. Who holds the interpreter's lock can follow the list: it is only changed under that. */
static hasten_word *hasten_guard_first(void) { return hasten_guard.first; }

/* A word's owner; None if it is going already. New reference, which also keeps the word where it is. */
static PyObject *hasten_guard_owner(hasten_word *w) { return Py_NewRef(Py_REFCNT(w->owner) > 0 ? w->owner : Py_None); }

/* In the child of any fork, also of one by C code that does not tell Python: there is no thread here, and the mutex may have
 * been another thread's. What was due the parent does; it is noted only, since this thread may not have the interpreter's
 * lock. */
static void hasten_guard_is_gone(void) {
    pthread_mutex_init(&hasten_guard.mutex, NULL);
    for (hasten_word *w = hasten_guard.first; w != NULL; w = w->next) {
        hasten_word_done(w);
        w->inherited = 1;
    }
    hasten_guard.exists = hasten_guard.prepared = hasten_guard.forks = 0;
    hasten_guard.asleep = 1;
}

/* Once, when the module is loaded. False without memory. */
static int hasten_guard_prepare(int (*act)(PyObject *owner)) {
    hasten_guard.act = act;
    return pthread_atfork(NULL, NULL, hasten_guard_is_gone) == 0;
}
#endif
