/* Keeps the memory that large objects come from.
 *
 * glibc gives what lies free at the end of its heap back to the kernel as soon as that is more than 128 KiB, and has the
 * kernel give a larger block to each request above that. A program that receives much makes one large object after the
 * other, and pays for each with a page fault for every 4 KiB, which can take longer than to receive it.
 *
 * Both bounds follow the largest block that the program has ever freed (mallopt(3), M_MMAP_THRESHOLD): the request's bound is
 * its size, the heap's is twice that. A block of 8 MiB, which nobody writes to and which therefore costs nothing, moves them
 * there. Where the program has set one of them, by mallopt() or the environment, they do not move. */
#ifndef HASTEN_KEEP_HEAP_H
#define HASTEN_KEEP_HEAP_H
#include <stdlib.h>

enum { HASTEN_HEAP_BLOCK = 8 << 20 };

/* Once in a process. With the interpreter's lock held. */
static inline void hasten_keep_heap(void) {
#ifdef __GLIBC__
    static int done;
    if (!done) {
        void *volatile block = malloc(HASTEN_HEAP_BLOCK);   /* volatile: a compiler leaves out what only comes and goes */
        free(block);
        done = 1;
    }
#endif
}
#endif
