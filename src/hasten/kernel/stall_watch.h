/* A thread that sees which loop has not come back to its poller for some time, and reads what its thread does meanwhile. It
 * never takes the interpreter's lock, so it sees also where a C function keeps that.
 *
 * A loop shows one word: since when it is awake (0.0: it sleeps, or does not run). Where that stays the same for half of the
 * threshold, samples are taken, at first every 5 ms, then ever more rarely; equal ones are counted. The loop's thread itself
 * sees at its next poll that there are some, and takes them (hasten_stall_take).
 *
 * Nobody waits for a sample, or for what is written to stderr: the mutex is held for a few instructions only. A record that is
 * looked at is `held`; if it is detached meanwhile, it is the looker's to free. */
#ifndef HASTEN_STALL_WATCH_H
#define HASTEN_STALL_WATCH_H
#include "frame_reading.h"
#include "stall_word.h"
#include "thread_times.h"

enum { HASTEN_KINDS = 3 };

typedef struct hasten_stall {
    double since;                       /* seconds of CLOCK_MONOTONIC, when the loop woke up; 0: nothing was sampled */
    double stood;                       /* of that the whole process stood still */
    double queued, queued_at;           /* for how long its thread had waited for a processor, ever: soon after it woke up, */
                                        /* and at the first sample; below 0: unknown */
    double cpu, cpu_at;                 /* the thread's CPU time at the first sample, and when that was */
    double asleep;                      /* for so long it was asleep for sure, and did not wait for a processor */
    int kinds, samples, moving, missed;
    hasten_sample sample[HASTEN_KINDS];
} hasten_stall;

typedef struct hasten_watched {
    hasten_stall_word word;             /* stands first */
    double threshold, hang;             /* seconds */
    uintptr_t state;                    /* the thread's PyThreadState */
    uintptr_t current;                  /* address of where the current task is published */
    long thread;                        /* by which the kernel knows it */
    int clock;                          /* clockid_t of its CPU time */
    double seen, next, gap, stood, queued;  /* the watch's own */
    double cpu, cpu_at;                 /* its CPU time at the last sample, and when that was */
    int told;
    uintptr_t held;                     /* number of the watch's thread that looks at it; 0: none does */
    int gone;                           /* it was detached meanwhile */
    unsigned forks;                     /* that there had been when it was attached */
    struct hasten_watched *next_one;
    hasten_stall stall;
} hasten_watched;

#ifdef HASTEN_READS_FRAMES
#include <pthread.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

static struct {
    pthread_mutex_t mutex;
    pthread_mutex_t reading;            /* who reads frames has it; that may take some milliseconds. Taken after no other */
    pthread_cond_t changed;
    pthread_t thread;
    hasten_watched *first;              /* under the mutex, as all below */
    double due;                         /* when it looks next */
    uintptr_t number;                   /* of the thread that is to go on */
    long kernel_id;                     /* by which the kernel knows the last one that began to run */
    unsigned forks;
    int prepared, exists, over;
} hasten_watch = {.mutex = PTHREAD_MUTEX_INITIALIZER, .reading = PTHREAD_MUTEX_INITIALIZER};

static double hasten_seconds(clockid_t clock) {
    struct timespec t;
    return clock_gettime(clock, &t) ? 0.0 : (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double hasten_awake(hasten_watched *w) {
    double value;
    __atomic_load(&w->word.awake, &value, __ATOMIC_RELAXED);
    return value;
}

static hasten_sample hasten_found;      /* what is being read, by who has `reading` */

/* Without the mutex. Returns 0 if no frames could be read. */
static int hasten_take_sample(hasten_watched *w) {
    uintptr_t task;
    int ok = hasten_read_frames(w->state, &hasten_found, 0);
    if (ok && w->current && hasten_peek(w->current, &task, sizeof task)) {
        hasten_found.task = task;
        hasten_read_task(&hasten_found);
    }
    return ok;
}

/* Reads the thread's CPU time, without the mutex. Returns for how many seconds since the last sample it was asleep for sure:
 * it is, and has computed nothing since. Linux (6.18) counts some sleeps as waits for a processor, where more threads run than
 * there are processors; a stall would be excused for it. */
static double hasten_take_cpu(hasten_watched *w, double *cpu, double *cpu_at) {
    double now = hasten_seconds(CLOCK_MONOTONIC);
    int sleeps = hasten_sleeps(w->thread);
    *cpu = hasten_seconds(w->clock);
    *cpu_at = hasten_seconds(CLOCK_MONOTONIC);
    return sleeps && *cpu == w->cpu && now > w->cpu_at ? now - w->cpu_at : 0.0;
}

/* Under the mutex: enters what hasten_take_sample() and hasten_take_cpu() have found. */
static void hasten_add_sample(hasten_watched *w, int ok, double now, double cpu, double asleep, double queued) {
    hasten_stall *x = &w->stall;
    hasten_sample *found = &hasten_found;
    if (x->since == 0.0) {
        x->since = w->seen;
        x->stood = w->stood;
        x->queued = w->queued;
        x->queued_at = queued;
        x->cpu = cpu;
        x->cpu_at = now;
        x->asleep = 0.0;
    }
    x->asleep += asleep;
    __atomic_store_n(&w->word.sampled, 1, __ATOMIC_RELAXED);
    if (!ok) {
        x->missed++;
        return;
    }
    x->samples++;
    x->moving += !found->still;
    for (int i = 0; i < x->kinds; i++) {
        hasten_sample *s = &x->sample[i];
        if (s->task == found->task && s->number == found->number && s->n == found->n
            && !memcmp(s->keys, found->keys, sizeof(uintptr_t) * (size_t)s->n)) {
            s->count++;
            s->still |= found->still;
            return;
        }
    }
    if (x->kinds < HASTEN_KINDS)
        memcpy(&x->sample[x->kinds++], found, offsetof(hasten_sample, places) + sizeof(hasten_place) * (size_t)found->n);
}

/* A hang that never ends is told by nobody else. Without Python: who holds its lock may hold it for ever. */
static int hasten_describe_hang(hasten_watched *w, double age, char *text, size_t room) {
    hasten_stall *x = &w->stall;
    if (!x->kinds) return 0;
    hasten_sample *s = &x->sample[x->kinds - 1];
    int n = snprintf(text, room, "hasten: an event loop is blocked, for %.1f s until now. Its thread stands here, "
                     "the innermost call first:\n", age);
    for (int i = 0; i < s->n && n < (int)room - 500; i++)
        n += snprintf(text + n, room - (size_t)n, "  File \"%s\", line %d, in %s\n", s->places[i].file,
                      s->places[i].line, s->places[i].name);
    return n;
}

static void hasten_forget_stall(hasten_watched *w) {
    w->stall.since = 0.0;
    w->stall.kinds = w->stall.samples = w->stall.moving = w->stall.missed = 0;
    __atomic_store_n(&w->word.sampled, 0, __ATOMIC_RELAXED);
}

/* Looks at one loop, under the mutex, which it lets go of for what takes long: `w` is held. `stood`: for so long the whole
 * process stood still before. Returns in how many seconds it wants to be looked at again. */
static double hasten_look(hasten_watched *w, double now, double stood) {
    char text[4096];                    /* PIPE_BUF: what poll() says there is room for */
    double since = hasten_awake(w), soon = w->threshold / 4, queued = -1.0, cpu = 0.0;
    double cpu_at = 0.0, asleep = 0.0;
    int n = 0, ok = 0;
    if (since != w->seen) {
        w->seen = since;
        w->next = since + w->threshold / 2 - 0.002;
        w->gap = 0.005;
        w->stood = 0.0;
        w->queued = w->cpu = -1.0;
        w->told = 0;
        if (since != 0.0) hasten_forget_stall(w);   /* what was not taken while it slept is of no use to anybody */
    }
    if (stood > 0.0 && since < now - stood) {
        w->stood += stood;
        w->next += stood;
    }
    if (stood > 0.0 && w->stall.since < now - stood) w->stall.stood += stood;  /* also of one that is about to be taken */
    if (since == 0.0) return soon;
    int samples = now >= w->next;
    int first = w->queued < 0.0 && now - since > w->threshold / 32;     /* most batches are over by then */
    int fresh = w->stall.since == 0.0;
    if (samples || first) {
        pthread_mutex_unlock(&hasten_watch.mutex);
        if (first || fresh) queued = hasten_queued(w->thread);
        if (samples) {
            pthread_mutex_lock(&hasten_watch.reading);
            ok = hasten_take_sample(w);
            asleep = hasten_take_cpu(w, &cpu, &cpu_at);
        }
        pthread_mutex_lock(&hasten_watch.mutex);
        if (first) w->queued = queued;
        if (samples) {
            if (!w->gone && hasten_awake(w) == since)   /* else it has gone on: this may be of another batch */
                hasten_add_sample(w, ok, now, cpu, asleep, queued);
            w->cpu = cpu;
            w->cpu_at = cpu_at;
            pthread_mutex_unlock(&hasten_watch.reading);
            double took = hasten_seconds(CLOCK_MONOTONIC) - now;    /* of a very deep stack, or on a machine with much to do */
            w->next = now + (w->gap > 20 * took ? w->gap : 20 * took);
            if (w->stall.samples > 8 && w->gap < 0.5) w->gap *= 1.5;
        }
    }
    double age = now - since - w->stood;
    if (age >= w->hang && !w->told && !w->gone && w->stall.since == since) {
        double most = age - w->stall.asleep;
        pthread_mutex_unlock(&hasten_watch.mutex);
        double waited = hasten_queued_since(w->queued, hasten_queued(w->thread), most);
        pthread_mutex_lock(&hasten_watch.mutex);
        if (age - waited >= w->hang && !w->gone && hasten_awake(w) == since && w->stall.since == since) {
            struct pollfd out = {2, POLLOUT, 0};
            w->told = 1;
            n = hasten_describe_hang(w, age - waited, text, sizeof text);
            pthread_mutex_unlock(&hasten_watch.mutex);
            /* A pipe that nobody reads would keep this thread; of a terminal that was stopped nobody can know. */
            if (n && poll(&out, 1, 0) == 1 && out.revents & POLLOUT && write(2, text, (size_t)n) < 0) n = 0;
            pthread_mutex_lock(&hasten_watch.mutex);
        }
    }
    now = hasten_seconds(CLOCK_MONOTONIC);
    return w->next - now < soon ? (w->next > now ? w->next - now : 0.001) : soon;
}

static void hasten_unlink(hasten_watched *w) {
    hasten_watched **at = &hasten_watch.first;
    while (*at != NULL && *at != w) at = &(*at)->next_one;
    if (*at == w) *at = w->next_one;
}

/* Looks at all loops, under the mutex. Returns when it is to look again. */
static double hasten_look_around(uintptr_t number, double now, double stood) {
    double nap = 0.05;
    hasten_watched *w = hasten_watch.first, *after;
    while (w != NULL && hasten_watch.number == number) {
        if (!w->held && !w->gone) {     /* else a thread that was told to end has not come back yet */
            w->held = number;
            double wanted = hasten_look(w, now, stood);
            if (wanted < nap) nap = wanted;
            w->held = 0;
        }
        after = w->next_one;            /* only now: others may have gone meanwhile */
        if (w->gone && !w->held) {
            hasten_unlink(w);
            free(w);
        }
        w = after;
    }
    return hasten_seconds(CLOCK_MONOTONIC) + nap;
}

static void *hasten_watching(void *argument) {
    uintptr_t number = (uintptr_t)argument;
    long own = syscall(SYS_gettid);
    /* For how long this thread has waited for a processor, ever (below 0: nobody tells), and when that was asked. Nothing when
     * it was made: what it has waited before it got here is no time in which the whole process stood still. */
    double waited = hasten_queued(own) < 0.0 ? -1.0 : 0.0, asked = 0.0;
    prctl(PR_SET_NAME, "hasten-watch");
    pthread_mutex_lock(&hasten_watch.mutex);
    hasten_watch.kernel_id = own;
    while (hasten_watch.number == number) {
        if (hasten_watch.first == NULL) {
            pthread_cond_wait(&hasten_watch.changed, &hasten_watch.mutex);
            asked = 0.0;
            continue;
        }
        struct timespec until;
        double end = hasten_watch.due, now = hasten_seconds(CLOCK_MONOTONIC);
        if (now < end) {
            if (now - asked > 1.0) {    /* seldom: it is needed where this thread comes late */
                pthread_mutex_unlock(&hasten_watch.mutex);
                waited = hasten_queued(own);
                asked = now;
                pthread_mutex_lock(&hasten_watch.mutex);
                continue;
            }
            until.tv_sec = (time_t)end;
            until.tv_nsec = (long)((end - (double)until.tv_sec) * 1e9);
            pthread_cond_timedwait(&hasten_watch.changed, &hasten_watch.mutex, &until);
            now = hasten_seconds(CLOCK_MONOTONIC);
            if (now < end || hasten_watch.number != number) continue;
        }
        /* Who comes late has waited for a processor; or the process as a whole stood still, or the machine. */
        double stood = now - end > 0.02 ? now - end : 0.0;
        if (stood > 0.0) {
            double before = waited;
            pthread_mutex_unlock(&hasten_watch.mutex);
            waited = hasten_queued(own);
            asked = now;
            pthread_mutex_lock(&hasten_watch.mutex);
            stood -= hasten_queued_since(before, waited, stood);
            if (stood < (before < 0.0 || waited <= 0.0 ? 0.2 : 0.02)) stood = 0.0;
            if (hasten_watch.number != number) break;   /* told to end meanwhile: another one may have set when it is due */
        }
        hasten_watch.due = 1e300;
        double due = hasten_look_around(number, now, stood);
        if (hasten_watch.number == number && due < hasten_watch.due) hasten_watch.due = due;    /* else a loop came meanwhile */
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
    hasten_watch.due = hasten_seconds(CLOCK_MONOTONIC) + 0.01;
    hasten_watch.exists = pthread_create(&hasten_watch.thread, &attributes, hasten_watching, number) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

/* The state of the thread that Python knows by this number; NULL: there is none. Threads come and go under the interpreter's
 * lock, which the caller has. */
static PyThreadState *hasten_state_of(unsigned long ident) {
    PyThreadState *state = PyThreadState_Get();
    if (ident == 0 || state->thread_id == ident) return state;
    for (state = PyInterpreterState_ThreadHead(PyInterpreterState_Get()); state; state = PyThreadState_Next(state))
        if (state->thread_id == ident) return state;
    return NULL;
}

/* Watches the loop that runs in this thread (`ident` 0), or in the one that Python knows by a number. False where there can be
 * no thread, or if that one is gone. */
static int hasten_watch_attach(hasten_watched *w, PyObject **current, unsigned long ident) {
    clockid_t clock;
    PyThreadState *state = hasten_state_of(ident);
    if (state == NULL || pthread_getcpuclockid((pthread_t)state->thread_id, &clock)) return 0;
    w->current = (uintptr_t)current;
    w->state = (uintptr_t)state;
    /* Its own, asked for: after a fork by C code that did not tell Python, the state has the parent's number. */
    w->thread = state == PyThreadState_Get() ? syscall(SYS_gettid) : (long)state->native_thread_id;
    w->clock = clock;
    w->queued = -1.0;
    pthread_mutex_lock(&hasten_watch.mutex);
    if (!hasten_watch.exists && !hasten_watch.over) hasten_watch_begin();
    int can = hasten_watch.exists;
    if (can) {
        double due = hasten_seconds(CLOCK_MONOTONIC) + w->threshold / 4;
        int wake = hasten_watch.first == NULL;
        w->forks = hasten_watch.forks;
        w->next_one = hasten_watch.first;
        hasten_watch.first = w;
        if (wake || due < hasten_watch.due) {   /* never later: loops that come and go must not keep it from looking */
            hasten_watch.due = due;
            pthread_cond_broadcast(&hasten_watch.changed);
        }
    }
    pthread_mutex_unlock(&hasten_watch.mutex);
    return can;
}

/* Watches a loop no more, and frees its record. */
static void hasten_watch_detach(hasten_watched *w) {
    pthread_mutex_lock(&hasten_watch.mutex);
    if (w->forks == hasten_watch.forks && w->held) {
        w->gone = 1;
        w = NULL;
    }
    else hasten_unlink(w);
    pthread_mutex_unlock(&hasten_watch.mutex);
    free(w);
}

/* Copies what was sampled, and forgets it. The loop's thread calls it, while it shows that it sleeps: nothing is added
 * meanwhile. `excused`: for how many seconds it stood still, or its thread waited for a processor, and nobody is to blame;
 * `computed` seconds of CPU time within the last `of`. */
static void hasten_stall_take(hasten_watched *w, hasten_stall *to, double *excused, double *computed, double *of) {
    struct timespec moment = {0, 1000000};
    pthread_mutex_lock(&hasten_watch.mutex);
    /* Where the whole process stood still, the thread that says so may go on a moment later than this one. */
    for (int i = 0; i < 20 && hasten_watch.exists && hasten_seconds(CLOCK_MONOTONIC) - hasten_watch.due > 0.02; i++) {
        pthread_mutex_unlock(&hasten_watch.mutex);
        nanosleep(&moment, NULL);
        pthread_mutex_lock(&hasten_watch.mutex);
    }
    memcpy(to, &w->stall, sizeof *to);
    hasten_forget_stall(w);
    pthread_mutex_unlock(&hasten_watch.mutex);
    *excused = *computed = *of = 0.0;
    if (to->since == 0.0) return;
    double now = hasten_seconds(CLOCK_MONOTONIC), queued = hasten_queued(w->thread);
    double most = now - to->since - to->stood - to->asleep;
    *excused = to->stood + hasten_queued_since(to->queued, queued, most);
    *computed = hasten_seconds(w->clock) - to->cpu;
    *of = now - to->cpu_at - hasten_queued_since(to->queued_at, queued, most);
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
    struct timespec until, moment = {0, 20000};
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1;
    /* It may hang in a write to a terminal that was stopped. It touches nothing of Python's, and ends when it comes back. */
    if (pthread_timedjoin_np(thread, NULL, &until)) pthread_detach(thread);
    else    /* The kernel may still count it for a moment, and Python warns of a fork by that count. */
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
    pthread_mutex_init(&hasten_watch.reading, NULL);
    hasten_watch.exists = hasten_watch.prepared = 0;
    hasten_watch.kernel_id = 0;
    hasten_watch.first = NULL;
    hasten_watch.forks++;
    hasten_can_read(hasten_by_pipe);
}

/* For tests: reads by the pipe only, or not any more. */
static int hasten_watch_read_by(int pipe) {
    pthread_mutex_lock(&hasten_watch.reading);
    int can = hasten_can_read(pipe);
    pthread_mutex_unlock(&hasten_watch.reading);
    return can;
}

static int hasten_watch_prepare(void) {
    hasten_lay();
    return hasten_can_read(0) && pthread_atfork(NULL, NULL, hasten_watch_is_gone) == 0;
}

/* Where hasten's Task has what names it. */
static void hasten_watch_know_tasks(PyObject *type, size_t name, size_t origin, size_t origin_at, size_t number) {
    pthread_mutex_lock(&hasten_watch.reading);
    hasten_task_at.name = name;
    hasten_task_at.origin = origin;
    hasten_task_at.origin_at = origin_at;
    hasten_task_at.number = number;
    hasten_task_at.type = (uintptr_t)type;
    pthread_mutex_unlock(&hasten_watch.reading);
}

static int hasten_mirror(hasten_sample *s) {
    pthread_mutex_lock(&hasten_watch.reading);
    int ok = hasten_read_frames((uintptr_t)PyThreadState_Get(), s, 1);
    pthread_mutex_unlock(&hasten_watch.reading);
    return ok;
}

#else       /* elsewhere: diagnosis/watch has a thread of Python */
#include <stdlib.h>
static int hasten_watch_prepare(void) { return 0; }
static int hasten_watch_read_by(int pipe) { (void)pipe; return 0; }
static int hasten_watch_attach(hasten_watched *w, PyObject **current, unsigned long ident) {
    (void)w; (void)current; (void)ident;
    return 0;
}
static void hasten_watch_detach(hasten_watched *w) { free(w); }
static void hasten_stall_take(hasten_watched *w, hasten_stall *to, double *excused, double *computed, double *of) {
    (void)w;
    memset(to, 0, sizeof *to);
    *excused = *computed = *of = 0.0;
}
static void hasten_watch_stop(int over) { (void)over; }
static void hasten_watch_resume(void) {}
static void hasten_watch_know_tasks(PyObject *type, size_t name, size_t origin, size_t origin_at, size_t number) {
    (void)type; (void)name; (void)origin; (void)origin_at; (void)number;
}
static int hasten_mirror(hasten_sample *s) { (void)s; return 0; }
#endif
#endif
