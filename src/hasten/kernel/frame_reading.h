/* The Python frames of a thread, read by another thread that holds no lock of the interpreter's.
 *
 * All is read through the kernel: process_vm_readv on this very process, or where a sandbox refuses that, write() into a pipe
 * and read() out of it. An address that has become wrong is an error of the call and no crash. No reference is touched, so
 * what is read may change under the reader's hands: the chain is walked, named, walked and named again, and what was the
 * same from the outermost frame inwards stood on the stack meanwhile.
 *
 * Sources: process_vm_readv(2); CPython's Include/internal/pycore_frame.h, pycore_interpframe_structs.h, pycore_debug_offsets.h
 * (from 3.13 on the running interpreter says itself where its fields lie), Objects/locations.md for the table of lines. */
#ifndef HASTEN_FRAME_READING_H
#define HASTEN_FRAME_READING_H
#ifndef Py_BUILD_CORE
#  define Py_BUILD_CORE 1
#endif
#include <Python.h>
#undef _PyGC_FINALIZED /* see internals.h */
#include "hasten.h"

#if defined(__linux__) && !defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030B0000
#  define HASTEN_READS_FRAMES 1
#endif

enum { HASTEN_INNER = 40, HASTEN_OUTER = 8, HASTEN_FRAMES = HASTEN_INNER + HASTEN_OUTER };

typedef struct {
    char file[320], name[96];           /* UTF-8; of longer ones the end */
    int line;                           /* -1: unknown */
} hasten_place;

typedef struct {
    int n;                              /* places, innermost first */
    int left_out;                       /* frames in the middle */
    int still;                          /* nothing moved while it was read */
    int count;                          /* such samples */
    uintptr_t task;                     /* address of the task that is published as current */
    unsigned long long number;          /* of that, if it is one of hasten's: it may have ended when this is told */
    char called[96];                    /* its name; "": unknown */
    char made[320];                     /* where it was made: the file; "": unknown */
    int made_line;
    uintptr_t keys[HASTEN_FRAMES];      /* of the places: equal if they are */
    hasten_place places[HASTEN_FRAMES];
} hasten_sample;

#ifdef HASTEN_READS_FRAMES
#include "internal/pycore_frame.h"
#if PY_VERSION_HEX >= 0x030D0000
#  include "internal/pycore_runtime.h"
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { HASTEN_DEEP = 16384, HASTEN_PAGE = 4096, HASTEN_TABLE = 65536, HASTEN_OF_GENERATOR = 1, HASTEN_OF_INTERPRETER = 3 };

/* ---- where things lie ---- */

static struct {
    size_t ts_frame;                    /* in PyThreadState: current_frame; up to 3.12: cframe */
    int indirect;                       /* up to 3.12: a _PyCFrame lies between */
    size_t cf_frame;
    size_t size, code, previous, instr, owner;
    size_t filename, qualname, table, first_line, begin, bytecode;
} hasten_at;

static void hasten_lay(void) {
#if PY_VERSION_HEX >= 0x030D0000
    const _Py_DebugOffsets *o = &_PyRuntime.debug_offsets;
    hasten_at.ts_frame = o->thread_state.current_frame;
    hasten_at.size = o->interpreter_frame.owner + 1;
    hasten_at.code = o->interpreter_frame.executable;
    hasten_at.previous = o->interpreter_frame.previous;
    hasten_at.instr = o->interpreter_frame.instr_ptr;
    hasten_at.owner = o->interpreter_frame.owner;
    hasten_at.filename = o->code_object.filename;
    hasten_at.qualname = o->code_object.qualname;
    hasten_at.table = o->code_object.linetable;
    hasten_at.first_line = o->code_object.firstlineno;
    hasten_at.bytecode = o->code_object.co_code_adaptive;
#else
    hasten_at.ts_frame = offsetof(PyThreadState, cframe);
    hasten_at.indirect = 1;
    hasten_at.cf_frame = offsetof(_PyCFrame, current_frame);
    hasten_at.size = offsetof(_PyInterpreterFrame, owner) + 1;
    hasten_at.code = offsetof(_PyInterpreterFrame, f_code);
    hasten_at.previous = offsetof(_PyInterpreterFrame, previous);
    hasten_at.instr = offsetof(_PyInterpreterFrame, prev_instr);
    hasten_at.owner = offsetof(_PyInterpreterFrame, owner);
    hasten_at.filename = offsetof(PyCodeObject, co_filename);
    hasten_at.qualname = offsetof(PyCodeObject, co_qualname);
    hasten_at.table = offsetof(PyCodeObject, co_linetable);
    hasten_at.first_line = offsetof(PyCodeObject, co_firstlineno);
    hasten_at.bytecode = offsetof(PyCodeObject, co_code_adaptive);
#endif
    hasten_at.begin = offsetof(PyCodeObject, _co_firsttraceable);
}

/* ---- reading ---- */

struct hasten_step { uintptr_t frame, code, instr; int owner; };

/* One reader at a time uses these: see `reading` in stall_watch.h. Only the pages that are used take memory. */
static struct hasten_step hasten_walked[HASTEN_DEEP], hasten_again[HASTEN_DEEP];
static unsigned char hasten_lines[HASTEN_TABLE];
static struct { uintptr_t at; unsigned char bytes[HASTEN_PAGE]; } hasten_page;    /* the last one that was read; at 0: none */
static pid_t hasten_self;
static int hasten_by_pipe, hasten_pipe[2] = {-1, -1};
static struct stat hasten_pipe_made;    /* both ends have one inode */

/* False if the program has closed our pipe, and perhaps opened something else under its numbers. */
static int hasten_pipe_is_ours(void) {
    struct stat found;
    for (int i = 0; i < 2; i++)
        if (hasten_pipe[i] < 0 || fstat(hasten_pipe[i], &found) || found.st_ino != hasten_pipe_made.st_ino
            || found.st_dev != hasten_pipe_made.st_dev)
            return 0;
    return 1;
}

static int hasten_peek(uintptr_t from, void *to, size_t n) {
    if (from <= 4096) return 0;
    if (hasten_by_pipe) {
        ssize_t put = syscall(SYS_write, hasten_pipe[1], from, n);      /* sanitizers look at what write() is given */
        ssize_t got = put > 0 ? read(hasten_pipe[0], to, (size_t)put) : 0;
        return put == (ssize_t)n && got == put;
    }
    struct iovec here = {to, n}, there = {(void *)from, n};
    return process_vm_readv(hasten_self, &here, 1, &there, 1, 0) == (ssize_t)n;
}

/* False where nothing can be read. `pipe`: by no other means. Called anew in the child of a fork. */
static int hasten_can_read(int pipe) {
    static const long known = 0x123456789abcdef;
    long got = 0;
    hasten_self = getpid();
    hasten_by_pipe = 0;
    int ours = hasten_pipe_is_ours();
    for (int i = 0; i < 2; i++) {       /* of another time, or the parent's */
        if (ours) close(hasten_pipe[i]);
        hasten_pipe[i] = -1;
    }
    if (!pipe && hasten_peek((uintptr_t)&known, &got, sizeof got) && got == known) return 1;
    if (pipe2(hasten_pipe, O_CLOEXEC | O_NONBLOCK) || fstat(hasten_pipe[0], &hasten_pipe_made)) return 0;
    hasten_by_pipe = 1;
    return hasten_peek((uintptr_t)&known, &got, sizeof got) && got == known
        && !hasten_peek((uintptr_t)~0xfffUL, &got, sizeof got);
}

/* Does as hasten_peek() for a frame. Frames stand close together: a call of the kernel for each page, and not for each of
 * them, is what makes a deep stack cheap to read. */
static int hasten_peek_frame(uintptr_t from, void *to, size_t n) {
    uintptr_t page = from & ~(uintptr_t)(HASTEN_PAGE - 1);
    if (from - page + n > HASTEN_PAGE) return hasten_peek(from, to, n);
    if (hasten_page.at != page) {
        hasten_page.at = 0;
        if (!hasten_peek(page, hasten_page.bytes, HASTEN_PAGE)) return 0;
        hasten_page.at = page;
    }
    memcpy(to, hasten_page.bytes + (from - page), n);
    return 1;
}

/* The chain of frames of a thread, innermost first. 0: it could not be read. */
static int hasten_walk(uintptr_t state, struct hasten_step *out) {
    unsigned char raw[256];
    uintptr_t f;
    int n = 0, seen = 0;
    hasten_page.at = 0;
    if (!hasten_peek(state + hasten_at.ts_frame, &f, sizeof f)) return 0;
    if (hasten_at.indirect && !hasten_peek(f + hasten_at.cf_frame, &f, sizeof f)) return 0;
    while (f && n < HASTEN_DEEP && seen++ < 2 * HASTEN_DEEP) {
        if (!hasten_peek_frame(f, raw, hasten_at.size)) return 0;
        int owner = *(signed char *)(raw + hasten_at.owner);
        if (owner < HASTEN_OF_INTERPRETER) {
            uintptr_t code;
            memcpy(&code, raw + hasten_at.code, sizeof code);
            memcpy(&out[n].instr, raw + hasten_at.instr, sizeof(uintptr_t));
            out[n].code = code & ~(uintptr_t)7;     /* 3.14 and newer: a tagged reference */
            out[n].frame = f;
            out[n].owner = owner;
            n++;
        }
        memcpy(&f, raw + hasten_at.previous, sizeof f);
    }
    return n;
}

static int hasten_utf8(unsigned c, char *to) {
    if (c < 0x80) { to[0] = (char)c; return 1; }
    if (c < 0x800) { to[0] = (char)(0xC0 | c >> 6); to[1] = (char)(0x80 | (c & 63)); return 2; }
    if ((c >= 0xD800 && c < 0xE000) || c > 0x10FFFF) { to[0] = '?'; return 1; }
    if (c < 0x10000) {
        to[0] = (char)(0xE0 | c >> 12); to[1] = (char)(0x80 | (c >> 6 & 63)); to[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    to[0] = (char)(0xF0 | c >> 18); to[1] = (char)(0x80 | (c >> 12 & 63));
    to[2] = (char)(0x80 | (c >> 6 & 63)); to[3] = (char)(0x80 | (c & 63));
    return 4;
}

static int hasten_is_a(const void *object, PyTypeObject *type) { return ((const PyObject *)object)->ob_type == type; }

/* A str as UTF-8. Of a long one the end: of a path it says more. */
static int hasten_read_str(uintptr_t o, char *to, size_t room) {
    PyCompactUnicodeObject u;
    unsigned char raw[1024];
    if (!hasten_peek(o, &u, sizeof u) || !hasten_is_a(&u, &PyUnicode_Type)) return 0;
    PyASCIIObject *a = (PyASCIIObject *)&u;
    if (!a->state.compact || a->length < 0) return 0;
    unsigned kind = a->state.kind;
    if (kind != 1 && kind != 2 && kind != 4) return 0;
    uintptr_t data = o + (a->state.ascii ? sizeof(PyASCIIObject) : sizeof(PyCompactUnicodeObject));
    size_t n = (size_t)a->length, most = room - 1 < sizeof raw / kind ? room - 1 : sizeof raw / kind, put = 0;
    if (n > most) {
        data += (n - most) * kind;
        n = most;
    }
    if (n && !hasten_peek(data, raw, n * kind)) return 0;
    for (size_t i = 0; i < n && put + (a->state.ascii ? 2 : 5) <= room; i++) {
        unsigned c = a->state.ascii ? raw[i] & 127u : raw[i];   /* it may be something else by now */
        if (kind == 2) { uint16_t wide; memcpy(&wide, raw + 2 * i, 2); c = wide; }
        if (kind == 4) { uint32_t wide; memcpy(&wide, raw + 4 * i, 4); c = wide; }
        put += (size_t)hasten_utf8(c, to + put);
    }
    to[put] = 0;
    return 1;
}

/* The line of a code unit, counted from the beginning, by the code's table of locations. -1: it has none. */
static int hasten_line_of(const unsigned char *t, size_t size, int line, long unit) {
    size_t i = 0;
    long begin = 0;
    if (unit < 0) return line;
    while (i < size) {
        unsigned kind = t[i] >> 3 & 15, units = (t[i] & 7) + 1u;
        int has = kind != 15;
        i++;
        if (kind == 13 || kind == 14) {
            unsigned v = 0, shift = 0;
            while (i < size) {
                unsigned char c = t[i++];
                v |= (unsigned)(c & 63) << shift;
                shift += 6;
                if (!(c & 64) || shift > 26) break;
            }
            line = (int)((unsigned)line + (v & 1 ? 0u - (v >> 1) : v >> 1));    /* of rubbish any number, and no overflow */
        }
        else if (has && kind >= 10) line = (int)((unsigned)line + kind - 10u);
        while (i < size && !(t[i] & 128)) i++;
        if (begin <= unit && unit < begin + (long)units) return has ? line : -1;
        begin += units;
    }
    return -1;
}

/* What a frame is called. 0: this is no frame, or not any more; 2: it has not begun, or is one of the interpreter's own. */
static int hasten_name(const struct hasten_step *s, hasten_place *t) {
    unsigned char head[sizeof(PyCodeObject)];
    size_t n = hasten_at.bytecode < sizeof head ? hasten_at.bytecode : sizeof head;
    uintptr_t file, name, table;
    int first, begins;
    PyVarObject bytes;
    if (!hasten_peek(s->code, head, n) || !hasten_is_a(head, &PyCode_Type)) return 0;
    Py_ssize_t units = ((PyVarObject *)head)->ob_size;
    long unit = (long)(s->instr - s->code - hasten_at.bytecode) / 2;
    if (units <= 0 || units > 1 << 26 || unit < -1 || unit > units) return 0;
    memcpy(&begins, head + hasten_at.begin, sizeof begins);
    if (s->owner != HASTEN_OF_GENERATOR && unit < begins) return 2;
    memcpy(&file, head + hasten_at.filename, sizeof file);
    memcpy(&name, head + hasten_at.qualname, sizeof name);
    memcpy(&table, head + hasten_at.table, sizeof table);
    memcpy(&first, head + hasten_at.first_line, sizeof first);
    if (!hasten_read_str(file, t->file, sizeof t->file) || !hasten_read_str(name, t->name, sizeof t->name)) return 0;
    if (!hasten_peek(table, &bytes, sizeof bytes) || !hasten_is_a(&bytes, &PyBytes_Type) || bytes.ob_size < 0) return 0;
    size_t size = (size_t)bytes.ob_size < HASTEN_TABLE ? (size_t)bytes.ob_size : HASTEN_TABLE;
    if (!hasten_peek(table + offsetof(PyBytesObject, ob_sval), hasten_lines, size)) return 0;
    t->line = hasten_line_of(hasten_lines, size, first, unit);
    return 1;
}

/* How many frames, from the outermost on, are the same in two walks; sets `still` if all are, and stand where they stood. */
static int hasten_same(int n, int m, int *still) {
    int same = 0;
    while (same < n && same < m) {
        struct hasten_step *x = &hasten_walked[n - 1 - same], *y = &hasten_again[m - 1 - same];
        if (x->frame != y->frame || x->code != y->code) break;
        same++;
        if (x->instr != y->instr) break;
    }
    *still = same == n && same == m && hasten_walked[0].instr == hasten_again[0].instr;
    return same;
}

/* Fills a sample from what was walked: `n` frames. Returns 0 if one could not be named, or was called otherwise the second
 * time. `alone`: it is the own thread, nothing moves. */
static int hasten_fill(uintptr_t state, int n, hasten_sample *s, int alone) {
    char fine[HASTEN_FRAMES];
    hasten_place again;
    int from = 0, keep = 0, good = 1;
    memset(s, 0, offsetof(hasten_sample, places));
    s->count = s->still = 1;
    s->left_out = n <= HASTEN_FRAMES ? 0 : n - HASTEN_FRAMES;
    int all = n - s->left_out, inner = s->left_out ? HASTEN_INNER : n;
    for (int i = 0; i < all; i++)
        fine[i] = (char)hasten_name(&hasten_walked[i < inner ? i : n - all + i], &s->places[i]);
    if (!alone) from = n - hasten_same(n, hasten_walk(state, hasten_again), &s->still);
    for (int i = 0; i < all; i++) {
        struct hasten_step *step = &hasten_walked[i < inner ? i : n - all + i];
        if ((i < inner ? i : n - all + i) < from || fine[i] == 2) continue;
        if (!fine[i]) return 0;
        hasten_place *t = &s->places[keep];
        if (keep != i) *t = s->places[i];
        s->keys[keep++] = step->code * 31 + (uintptr_t)t->line;
        /* A code object may be freed, and another one made in its place, between its two names. */
        if (!alone && (hasten_name(step, &again) != 1 || t->line != again.line || strcmp(t->file, again.file)
                       || strcmp(t->name, again.name)))
            good = 0;
    }
    s->n = keep;
    return good && keep > 0;
}

/* ---- tasks ---- */

/* Where hasten's Task has what names it: told by diagnosis/watcher, which knows the class. */
static struct {
    uintptr_t type;                     /* 0: unknown */
    size_t name, origin, origin_at, number;
} hasten_task_at;

/* The pointers and numbers that name a task; 0: it is none of hasten's. */
static int hasten_peek_task(uintptr_t task, uintptr_t fields[4]) {
    PyObject head;
    uintptr_t type;
    int at = 0;
    if (!hasten_task_at.type || !hasten_peek(task, &head, sizeof head)) return 0;
    type = (uintptr_t)head.ob_type;
    for (int i = 0; type != hasten_task_at.type; i++)
        if (i == 8 || !hasten_peek(type + offsetof(PyTypeObject, tp_base), &type, sizeof type)) return 0;
    memset(fields, 0, 4 * sizeof *fields);
    if (!hasten_peek(task + hasten_task_at.name, &fields[0], sizeof(uintptr_t))
        || !hasten_peek(task + hasten_task_at.origin, &fields[1], sizeof(uintptr_t))
        || !hasten_peek(task + hasten_task_at.origin_at, &at, sizeof at)
        || !hasten_peek(task + hasten_task_at.number, &fields[3], sizeof(uintptr_t)))
        return 0;
    fields[2] = (uintptr_t)at;
    return 1;
}

/* What a task is called and where it was made, if that stood still. */
static void hasten_read_task(hasten_sample *s) {
    uintptr_t before[4], after[4];
    struct hasten_step maker = {0, 0, 0, HASTEN_OF_GENERATOR};
    hasten_place place;
    s->number = 0;
    s->made_line = 0;
    s->called[0] = s->made[0] = 0;
    if (!s->task || !hasten_peek_task(s->task, before)) return;
    if (before[0] == (uintptr_t)Py_None || !hasten_read_str(before[0], s->called, sizeof s->called))
        snprintf(s->called, sizeof s->called, "Task-%llu", (unsigned long long)before[3]);
    maker.code = before[1];
    maker.instr = before[1] + hasten_at.bytecode + before[2];
    if (before[1] != (uintptr_t)Py_None && hasten_name(&maker, &place) == 1) {
        memcpy(s->made, place.file, sizeof s->made);
        s->made_line = place.line;
    }
    if (!hasten_peek_task(s->task, after) || memcmp(before, after, sizeof before)) s->called[0] = s->made[0] = 0;
    else s->number = before[3];
}

/* A sample of what a thread does; 0: none could be had. */
static int hasten_read_frames(uintptr_t state, hasten_sample *s, int alone) {
    if (hasten_by_pipe && !hasten_pipe_is_ours() && !hasten_can_read(1)) return 0;
    for (int attempt = 0; attempt < 4; attempt++) {
        int n = hasten_walk(state, hasten_walked);
        if (n > 0 && hasten_fill(state, n, s, alone)) return 1;
    }
    return 0;
}
#endif
#endif
