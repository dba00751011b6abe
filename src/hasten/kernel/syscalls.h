/* System calls that do not block, past the C library: its functions are cancellation points, and in a process of more than
 * one thread each call of one changes a shared word twice, which costs as much as the call of the kernel's entry. Nobody
 * cancels threads here. Sources: pthreads(7), "Cancellation points"; glibc's sysdep-cancel.h. */
#ifndef HASTEN_SYSCALLS_H
#define HASTEN_SYSCALLS_H
#include <errno.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/sendfile.h>
#include <sys/syscall.h>
#endif
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif
#ifndef MSG_DONTWAIT    /* elsewhere only sockets that do not block may be given */
#define MSG_DONTWAIT 0
#endif

/* A call that a signal interrupts is made again: the poller tells what has changed, and here nothing has. The signal has been
 * handled when the call is back, but one that is never let through must not keep the loop for ever. */
#define HASTEN_TRY(type, call) \
    int tries = 16; \
    type done; \
    do done = (call); while (done < 0 && errno == EINTR && --tries); \
    return done

#if defined(__linux__) && defined(SYS_recvfrom) && defined(SYS_sendto) && defined(SYS_recvmsg) && defined(SYS_sendmsg)
static inline ssize_t hasten_sys_recv(int fd, void *to, size_t n) {
    HASTEN_TRY(ssize_t, syscall(SYS_recvfrom, fd, to, n, 0, NULL, NULL));
}
static inline ssize_t hasten_sys_send(int fd, const void *from, size_t n) {
    HASTEN_TRY(ssize_t, syscall(SYS_sendto, fd, from, n, MSG_NOSIGNAL, NULL, 0));
}
static inline ssize_t hasten_sys_recv_now(int fd, void *to, size_t n) {
    return syscall(SYS_recvfrom, fd, to, n, MSG_DONTWAIT, NULL, NULL);
}
static inline ssize_t hasten_sys_send_now(int fd, const void *from, size_t n) {
    return syscall(SYS_sendto, fd, from, n, MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);
}
static inline ssize_t hasten_sys_recvmsg(int fd, struct msghdr *m, int flags) {
    HASTEN_TRY(ssize_t, syscall(SYS_recvmsg, fd, m, flags));
}
static inline ssize_t hasten_sys_sendmsg(int fd, const struct msghdr *m, int flags) {
    HASTEN_TRY(ssize_t, syscall(SYS_sendmsg, fd, m, MSG_NOSIGNAL | flags));
}
static inline ssize_t hasten_sys_read(int fd, void *to, size_t n) { return syscall(SYS_read, fd, to, n); }
static inline ssize_t hasten_sys_write(int fd, const void *from, size_t n) { return syscall(SYS_write, fd, from, n); }
static inline ssize_t hasten_sys_writev(int fd, const struct iovec *iov, int n) { return syscall(SYS_writev, fd, iov, n); }
#else
static inline ssize_t hasten_sys_recv(int fd, void *to, size_t n) { HASTEN_TRY(ssize_t, recv(fd, to, n, 0)); }
static inline ssize_t hasten_sys_send(int fd, const void *from, size_t n) {
    HASTEN_TRY(ssize_t, send(fd, from, n, MSG_NOSIGNAL));
}
static inline ssize_t hasten_sys_recv_now(int fd, void *to, size_t n) { return recv(fd, to, n, MSG_DONTWAIT); }
static inline ssize_t hasten_sys_send_now(int fd, const void *from, size_t n) {
    return send(fd, from, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}
static inline ssize_t hasten_sys_recvmsg(int fd, struct msghdr *m, int flags) { HASTEN_TRY(ssize_t, recvmsg(fd, m, flags)); }
static inline ssize_t hasten_sys_sendmsg(int fd, const struct msghdr *m, int flags) {
    HASTEN_TRY(ssize_t, sendmsg(fd, m, MSG_NOSIGNAL | flags));
}
static inline ssize_t hasten_sys_read(int fd, void *to, size_t n) { return read(fd, to, n); }
static inline ssize_t hasten_sys_write(int fd, const void *from, size_t n) { return write(fd, from, n); }
static inline ssize_t hasten_sys_writev(int fd, const struct iovec *iov, int n) { return writev(fd, iov, n); }
#endif

/* Elsewhere sendfile() takes other arguments, and Python's is called. It is no entry of its own: the calls are few and long. */
#ifdef __linux__
#define HASTEN_SENDFILE 1
static inline ssize_t hasten_sys_sendfile(int to, int file, long long offset, size_t n) {
    off_t start = (off_t)offset;
    ssize_t sent = sendfile(to, file, &start, n);
    return sent < 0 ? -errno : sent;
}
#else
#define HASTEN_SENDFILE 0
static inline ssize_t hasten_sys_sendfile(int to, int file, long long offset, size_t n) { return -ENOSYS; }
#endif
#endif
