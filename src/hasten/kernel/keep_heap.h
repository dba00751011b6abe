/* Keeps the memory that large objects come from.
 *
 * glibc gives what lies free at the end of its heap back to the kernel as soon as that is more than 128 KiB, and has the
 * kernel give a larger block to each request above that. A program that receives much makes one large object after the
 * other, and pays for each with a page fault for every 4 KiB, which can take longer than to receive it.
 *
 * Both bounds follow the largest block that the program has ever freed (mallopt(3), M_MMAP_THRESHOLD), of those that the
 * kernel gave it: the request's bound is its size, the heap's is twice that. A block of 8 MiB, which nobody writes to and
 * which therefore costs nothing, moves them there. Where the program has set one of them, by mallopt() or the environment,
 * they do not move.
 *
 * A block that fits into a hole of the heap is none of the kernel's: then the hole is held, and another one asked for. */
#ifndef HASTEN_KEEP_HEAP_H
#define HASTEN_KEEP_HEAP_H
#include <stdint.h>
#include <stdlib.h>

enum { HASTEN_HEAP_BLOCK = 8 << 20, HASTEN_HEAP_TRIES = 4 };

/* Once in a process. With the interpreter's lock held. */
static inline void hasten_keep_heap(void) {
#if defined(__GLIBC__) && !defined(__UCLIBC__)
    static int done;
    void *volatile blocks[HASTEN_HEAP_TRIES];   /* volatile: a compiler leaves out what only comes and goes */
    int n = 0;
    if (done)
        return;
    done = 1;
    while (n < HASTEN_HEAP_TRIES) {
        void *block = blocks[n++] = malloc(HASTEN_HEAP_BLOCK);
        /* The kernel's begin with a page, and two words of glibc's. Other allocators than glibc's may stand in its place:
         * nothing is read. */
        if (block == NULL || ((uintptr_t)block & 4095) == 2 * sizeof(size_t))
            break;
    }
    while (n > 0)   /* the last one first: what is free at the heap's end then stays there */
        free(blocks[--n]);
#endif
}
#endif
