/* Many datagrams in one system call, where the kernel has such calls; else one after the other.
 * Sources: recvmmsg(2), sendmmsg(2). */
#ifndef HASTEN_DATAGRAMS_H
#define HASTEN_DATAGRAMS_H
#include "addresses.h"
#include "syscalls.h"
#include <errno.h>
#include <sys/uio.h>

enum {
    HASTEN_LETTERS = 16,            /* received at once, at most */
    HASTEN_LETTERS_OUT = 64,        /* sent at once, at most */
    HASTEN_LETTER = 65536,          /* bytes of one from the internet, at most: the length in its header has 16 bits */
    HASTEN_LETTERS_ROOM = HASTEN_LETTERS * HASTEN_LETTER
};

typedef struct {                    /* laid out as the kernel's struct mmsghdr */
    struct msghdr head;
    unsigned int size;
} hasten_letter;

typedef struct {                    /* what one loop receives datagrams into */
    hasten_letter letters[HASTEN_LETTERS];
    struct iovec rooms[HASTEN_LETTERS];
    hasten_address senders[HASTEN_LETTERS];
    char *bytes;                    /* HASTEN_LETTERS_ROOM of them */
} hasten_letter_box;

static void hasten_open_box(hasten_letter_box *box, int count, size_t room) {
    memset(box->letters, 0, (size_t)count * sizeof box->letters[0]);
    for (int i = 0; i < count; i++) {
        struct msghdr *head = &box->letters[i].head;
        box->rooms[i].iov_base = box->bytes + (size_t)i * room;
        box->rooms[i].iov_len = room;
        head->msg_iov = &box->rooms[i];
        head->msg_iovlen = 1;
        head->msg_name = &box->senders[i];
        head->msg_namelen = sizeof box->senders[i];
    }
}

#if defined(__linux__) && defined(SYS_recvmmsg) && defined(SYS_sendmmsg)
static int hasten_sys_recvmmsg(int fd, hasten_letter *letters, int count) {
    HASTEN_TRY(int, (int)syscall(SYS_recvmmsg, fd, letters, count, MSG_DONTWAIT, NULL));
}
static int hasten_sys_sendmmsg(int fd, hasten_letter *letters, int count) {
    HASTEN_TRY(int, (int)syscall(SYS_sendmmsg, fd, letters, count, MSG_NOSIGNAL | MSG_DONTWAIT));
}
#else
static int hasten_sys_recvmmsg(int fd, hasten_letter *letters, int count) { return errno = ENOSYS, -1; }
static int hasten_sys_sendmmsg(int fd, hasten_letter *letters, int count) { return errno = ENOSYS, -1; }
#endif

/* How many were received, at most `count`, each of at most `room` bytes; -1 and errno. Sets `more` if more may be there. */
static int hasten_receive_letters(int fd, hasten_letter_box *box, int count, size_t room, int *more) {
    hasten_open_box(box, count, room);
    int n = hasten_sys_recvmmsg(fd, box->letters, count);
    if (n < 0 && errno == ENOSYS) {     /* one then: an error that comes after it can be told */
        ssize_t size = hasten_sys_recvmsg(fd, &box->letters[0].head, MSG_DONTWAIT);
        if (size >= 0) box->letters[0].size = (unsigned int)size;
        n = count = size < 0 ? -1 : 1;
    }
    *more = n == count;
    return n;
}

/* How many were sent; -1 and errno if the first could not be. */
static int hasten_send_letters(int fd, hasten_letter *letters, int count) {
    int n = hasten_sys_sendmmsg(fd, letters, count);
    if (n < 0 && errno == ENOSYS) n = hasten_sys_sendmsg(fd, &letters[0].head, MSG_DONTWAIT) < 0 ? -1 : 1;
    return n;
}

static inline void hasten_address_letter(hasten_letter *letter, struct iovec *piece, const char *start, size_t n) {
    memset(letter, 0, sizeof *letter);
    piece->iov_base = (void *)start;
    piece->iov_len = n;
    letter->head.msg_iov = piece;
    letter->head.msg_iovlen = 1;
}

/* A small number for an address: datagrams of the same peer have the same. */
static inline unsigned hasten_address_slot(const hasten_address *a, socklen_t n) {
    if (a->any.sa_family == AF_INET) return ntohs(a->four.sin_port) ^ ntohl(a->four.sin_addr.s_addr);
    unsigned h = n;
    for (socklen_t i = 0; i < n; i++) h = h * 31 + ((const unsigned char *)a)[i];
    return h;
}
#endif
