/* What Linux tells of a thread of this process: whether it sleeps, and for how long it has waited for a processor. */
#ifndef HASTEN_THREAD_TIMES_H
#define HASTEN_THREAD_TIMES_H
#include "frame_reading.h"

#ifdef HASTEN_READS_FRAMES
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Reads what /proc tells of a thread of this process; an empty text where it tells nothing. */
static void hasten_read_proc(long thread, const char *name, char *text, size_t room) {
    char path[64];
    ssize_t n = -1;
    snprintf(path, sizeof path, "/proc/self/task/%ld/%s", thread, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, text, room - 1);
        close(fd);
    }
    text[n > 0 ? n : 0] = 0;
}

/* For how many seconds a thread of this process has waited for a processor, ever; -1: the kernel does not tell. */
static double hasten_queued(long thread) {
    char text[96];
    unsigned long long spent, queued;
    hasten_read_proc(thread, "schedstat", text, sizeof text);
    return sscanf(text, "%llu %llu", &spent, &queued) == 2 ? (double)queued * 1e-9 : -1.0;
}

/* How much that has become since; 0 if it was or is unknown. `most`: it cannot have been more. */
static double hasten_queued_since(double then, double now, double most) {
    double waited = then >= 0.0 && now > then ? now - then : 0.0;
    return waited <= most ? waited : most > 0.0 ? most : 0.0;
}

/* Whether a thread sleeps, or waits for a disk, as proc_pid_stat(5) has it: its state stands behind its name. */
static int hasten_sleeps(long thread) {
    char text[128];
    hasten_read_proc(thread, "stat", text, sizeof text);
    char *end = strrchr(text, ')');
    return end != NULL && end[1] == ' ' && (end[2] == 'S' || end[2] == 'D');
}
#endif
#endif
