/* A thread that sees which loop has not come back to its poller for some time, and reads what its thread does meanwhile. It
 * never takes the interpreter's lock, so it sees also where a C function keeps that.
 *
 * A loop shows one word: since when it is awake (0.0: it sleeps, or does not run). Where that stays the same for half of the
 * threshold, samples are taken, at first every 5 ms, then ever more rarely; equal ones are counted. The loop's thread itself
 * sees at its next poll that there are some, and takes them (hasten_stall_take). */
#ifndef HASTEN_STALL_WATCH_H
#define HASTEN_STALL_WATCH_H
#include "frame_reading.h"
#include "stall_word.h"

enum { HASTEN_KINDS = 3 };

typedef struct hasten_stall {
    double since;                       /* seconds of CLOCK_MONOTONIC, when the loop woke up; 0: nothing was sampled */
    double excused;                     /* of that the whole process stood still */
    double cpu, cpu_at;                 /* the thread's CPU time at the first sample, and when that was */
    int kinds, samples, moving, missed;
    hasten_sample sample[HASTEN_KINDS];
} hasten_stall;

typedef struct hasten_watched {
    hasten_stall_word word;             /* stands first */
    double threshold, hang;             /* seconds */
    uintptr_t state;                    /* the thread's PyThreadState */
    PyObject **current;                 /* where the current task is published; the loop's, which outlives the record */
    uintptr_t thread;                   /* pthread_t */
    int clock;                          /* clockid_t of its CPU time */
    double seen, next, gap, excused;    /* the watch's own */
    int told;
    struct hasten_watched *next_one;
    hasten_stall stall;
} hasten_watched;

#ifdef HASTEN_READS_FRAMES
#include <pthread.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t thread;
    hasten_watched *first;              /* under the mutex, as all below */
    uintptr_t number;                   /* of the thread that is to go on */
    long kernel_id;                     /* by which the kernel knows the last one that began to run */
    int prepared, exists, over;
} hasten_watch = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static double hasten_seconds(clockid_t clock) {
    struct timespec t;
    return clock_gettime(clock, &t) ? 0.0 : (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double hasten_awake(hasten_watched *w) {
    double value;
    __atomic_load(&w->word.awake, &value, __ATOMIC_RELAXED);
    return value;
}

static void hasten_add_sample(hasten_watched *w, double now) {
    static hasten_sample found;
    hasten_stall *x = &w->stall;
    int ok = hasten_read_frames(w->state, &found, 0);
    found.task = ok && w->current ? (uintptr_t)__atomic_load_n(w->current, __ATOMIC_RELAXED) : 0;
    if (hasten_awake(w) != w->seen) return;     /* it has gone on: this may be another batch */
    if (x->since == 0.0) {
        x->since = w->seen;
        x->cpu = hasten_seconds(w->clock);
        x->cpu_at = now;
    }
    __atomic_store_n(&w->word.sampled, 1, __ATOMIC_RELAXED);
    if (!ok) {
        x->missed++;
        return;
    }
    x->samples++;
    x->moving += !found.still;
    for (int i = 0; i < x->kinds; i++) {
        hasten_sample *s = &x->sample[i];
        if (s->task == found.task && s->n == found.n && !memcmp(s->keys, found.keys, sizeof(uintptr_t) * (size_t)s->n)) {
            s->count++;
            s->still |= found.still;
            return;
        }
    }
    if (x->kinds < HASTEN_KINDS)
        memcpy(&x->sample[x->kinds++], &found, offsetof(hasten_sample, places) + sizeof(hasten_place) * (size_t)found.n);
}

/* A hang that never ends is told by nobody else. Without Python: who holds its lock may hold it for ever. */
static void hasten_tell_hang(hasten_watched *w, double age) {
    char text[4096];                    /* PIPE_BUF: what poll() says there is room for */
    struct pollfd out = {2, POLLOUT, 0};
    hasten_stall *x = &w->stall;
    if (!x->kinds) return;
    hasten_sample *s = &x->sample[x->kinds - 1];
    int n = snprintf(text, sizeof text, "hasten: an event loop is blocked, for %.1f s until now. Its thread stands here, "
                     "the innermost call first:\n", age);
    for (int i = 0; i < s->n && n < (int)sizeof text - 400; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "  File \"%s\", line %d, in %s\n", s->places[i].file,
                      s->places[i].line, s->places[i].name);
    /* A pipe that nobody reads would keep this thread, and with it all who want the mutex. */
    if (poll(&out, 1, 0) != 1 || !(out.revents & POLLOUT) || write(2, text, (size_t)n) < 0) return;
}

static void hasten_forget_stall(hasten_watched *w) {
    w->stall.since = 0.0;
    w->stall.kinds = w->stall.samples = w->stall.moving = w->stall.missed = 0;
}

/* Looks at one loop. Returns in how many seconds it wants to be looked at again. */
static double hasten_look(hasten_watched *w, double now, double late) {
    double since = hasten_awake(w), soon = w->threshold / 4;
    if (since != w->seen) {
        w->seen = since;
        w->next = since + w->threshold / 2 - 0.002;
        w->gap = 0.005;
        w->excused = 0.0;
        w->told = 0;
        if (!w->word.sampled) hasten_forget_stall(w);
    }
    if (late > 0.2 && since < now - late) {     /* the whole process stood still, and not the loop alone */
        w->excused += late;
        w->next += late;
    }
    if (since == 0.0 || w->word.sampled > 1) return soon;
    double age = now - since - w->excused;
    if (now >= w->next && !(w->word.sampled && w->stall.since != since)) {   /* what was not taken yet stays as it is */
        hasten_add_sample(w, now);
        w->stall.excused = w->excused;
        w->next = now + w->gap;
        if (w->stall.samples > 8 && w->gap < 0.5) w->gap *= 1.5;
    }
    if (age >= w->hang && !w->told && w->stall.since == since) {
        w->told = 1;
        hasten_tell_hang(w, age);
    }
    return w->next - now < soon ? (w->next > now ? w->next - now : 0.001) : soon;
}

static void *hasten_watching(void *argument) {
    uintptr_t number = (uintptr_t)argument;
    prctl(PR_SET_NAME, "hasten-watch");
    pthread_mutex_lock(&hasten_watch.mutex);
    hasten_watch.kernel_id = syscall(SYS_gettid);
    double nap = 0.01;
    while (hasten_watch.number == number) {
        if (hasten_watch.first == NULL) {
            pthread_cond_wait(&hasten_watch.changed, &hasten_watch.mutex);
            continue;
        }
        struct timespec until;
        double begun = hasten_seconds(CLOCK_MONOTONIC), end = begun + nap;
        until.tv_sec = (time_t)end;
        until.tv_nsec = (long)((end - (double)until.tv_sec) * 1e9);
        if (pthread_cond_timedwait(&hasten_watch.changed, &hasten_watch.mutex, &until) == 0) continue;
        double now = hasten_seconds(CLOCK_MONOTONIC), late = now - end;
        nap = 0.05;
        for (hasten_watched *w = hasten_watch.first; w != NULL; w = w->next_one) {
            double wanted = hasten_look(w, now, late);
            if (wanted < nap) nap = wanted;
        }
    }
    pthread_mutex_unlock(&hasten_watch.mutex);
    return NULL;
}

/* Under the mutex. Signals go to the program's threads, not to this one. */
static void hasten_watch_begin(void) {
    pthread_condattr_t condition;
    pthread_attr_t attributes;
    sigset_t all, before;
    if (!hasten_watch.prepared) {
        pthread_condattr_init(&condition);
        pthread_condattr_setclock(&condition, CLOCK_MONOTONIC);
        pthread_cond_init(&hasten_watch.changed, &condition);
        pthread_condattr_destroy(&condition);
        hasten_watch.prepared = 1;
    }
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 512 * 1024);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    void *number = (void *)++hasten_watch.number;
    hasten_watch.exists = pthread_create(&hasten_watch.thread, &attributes, hasten_watching, number) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

/* Watches the loop that runs in this thread. False where there can be no thread. */
static int hasten_watch_attach(hasten_watched *w, PyObject **current) {
    clockid_t clock;
    w->word.awake = 0.0;
    w->seen = 0.0;
    w->word.sampled = 0;
    w->current = current;
    w->state = (uintptr_t)PyThreadState_Get();
    if (pthread_getcpuclockid(pthread_self(), &clock)) return 0;
    w->clock = clock;
    hasten_forget_stall(w);
    pthread_mutex_lock(&hasten_watch.mutex);
    if (!hasten_watch.exists && !hasten_watch.over) hasten_watch_begin();
    int can = hasten_watch.exists;
    if (can) {
        w->next_one = hasten_watch.first;
        hasten_watch.first = w;
        pthread_cond_broadcast(&hasten_watch.changed);
    }
    pthread_mutex_unlock(&hasten_watch.mutex);
    return can;
}

static void hasten_watch_detach(hasten_watched *w) {
    pthread_mutex_lock(&hasten_watch.mutex);
    hasten_watched **at = &hasten_watch.first;
    while (*at != NULL && *at != w) at = &(*at)->next_one;
    if (*at == w) *at = w->next_one;
    pthread_mutex_unlock(&hasten_watch.mutex);
}

/* Copies what was sampled, and forgets it. The loop's thread calls it: nothing is added meanwhile. */
static void hasten_stall_take(hasten_watched *w, hasten_stall *to) {
    pthread_mutex_lock(&hasten_watch.mutex);
    memcpy(to, &w->stall, sizeof *to);
    hasten_forget_stall(w);
    w->word.sampled = 0;
    pthread_mutex_unlock(&hasten_watch.mutex);
}

/* Ends the thread and waits for that. `over`: none begins again. */
static void hasten_watch_stop(int over) {
    pthread_mutex_lock(&hasten_watch.mutex);
    if (over) hasten_watch.over = 1;
    int exists = hasten_watch.exists;
    pthread_t thread = hasten_watch.thread;
    hasten_watch.exists = 0;
    if (exists) {
        hasten_watch.number++;
        pthread_cond_broadcast(&hasten_watch.changed);
    }
    long id = hasten_watch.kernel_id;
    pthread_mutex_unlock(&hasten_watch.mutex);
    if (!exists) return;
    Py_BEGIN_ALLOW_THREADS
    pthread_join(thread, NULL);
    /* The kernel may still count it for a moment, and Python warns of a fork by that count. */
    struct timespec moment = {0, 20000};
    for (int i = 0; id != 0 && i < 500 && syscall(SYS_tgkill, getpid(), id, 0) == 0; i++) nanosleep(&moment, NULL);
    Py_END_ALLOW_THREADS
}

/* After a fork, in the parent, or in the child whose loop goes on: loops are still there to be watched. */
static void hasten_watch_resume(void) {
    pthread_mutex_lock(&hasten_watch.mutex);
    if (hasten_watch.first != NULL && !hasten_watch.exists && !hasten_watch.over) hasten_watch_begin();
    pthread_mutex_unlock(&hasten_watch.mutex);
}

/* In the child of any fork, also of one by C code that does not tell Python. */
static void hasten_watch_is_gone(void) {
    pthread_mutex_init(&hasten_watch.mutex, NULL);
    hasten_watch.exists = hasten_watch.prepared = 0;
    hasten_watch.kernel_id = 0;
    hasten_watch.first = NULL;
    hasten_can_read(hasten_by_pipe);
}

/* For tests: reads by the pipe only, or not any more. */
static int hasten_watch_read_by(int pipe) {
    pthread_mutex_lock(&hasten_watch.mutex);
    int can = hasten_can_read(pipe);
    pthread_mutex_unlock(&hasten_watch.mutex);
    return can;
}

static int hasten_watch_prepare(void) {
    hasten_lay();
    return hasten_can_read(0) && pthread_atfork(NULL, NULL, hasten_watch_is_gone) == 0;
}

static int hasten_mirror(hasten_sample *s) {
    pthread_mutex_lock(&hasten_watch.mutex);
    int ok = hasten_read_frames((uintptr_t)PyThreadState_Get(), s, 1);
    pthread_mutex_unlock(&hasten_watch.mutex);
    return ok;
}

#else       /* elsewhere: diagnosis/watch has a thread of Python */
static int hasten_watch_prepare(void) { return 0; }
static int hasten_watch_read_by(int pipe) { (void)pipe; return 0; }
static int hasten_watch_attach(hasten_watched *w, PyObject **current) { (void)w; (void)current; return 0; }
static void hasten_watch_detach(hasten_watched *w) { (void)w; }
static void hasten_stall_take(hasten_watched *w, hasten_stall *to) { (void)w; memset(to, 0, sizeof *to); }
static void hasten_watch_stop(int over) { (void)over; }
static void hasten_watch_resume(void) {}
static int hasten_mirror(hasten_sample *s) { (void)s; return 0; }
#endif
#endif
