"""epoll's system calls. The plain twin is epoll.py.

Timeouts: epoll_pwait2 (Linux 5.11) takes nanoseconds; where it is missing (ENOSYS, or EPERM from an old seccomp
profile) they are rounded up to milliseconds, so that no timer is early. Source: epoll_wait(2).
"""
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.errno cimport EBADF, EEXIST, EINTR, ENOENT, ENOSYS, EPERM, errno

cdef extern from *:
    """
    #include <sys/epoll.h>
    #include <sys/eventfd.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    #include <time.h>
    #include <math.h>
    #ifndef __NR_epoll_pwait2
    #define __NR_epoll_pwait2 441
    #endif
    static int hasten_pwait2(int ep, struct epoll_event *ev, int max, double timeout) {
        struct timespec ts;
        if (timeout > 86400.0) timeout = 86400.0;
        ts.tv_sec = (time_t)timeout;
        ts.tv_nsec = (long)ceil((timeout - (double)ts.tv_sec) * 1e9);
        if (ts.tv_nsec >= 1000000000) { ts.tv_sec++; ts.tv_nsec -= 1000000000; }
        return (int)syscall(__NR_epoll_pwait2, ep, ev, max, &ts, NULL, (size_t)8);
    }
    /* Not by epoll_wait(), for the reason that syscalls.h gives. Milliseconds; -1: without limit. */
    static int hasten_poll(int ep, struct epoll_event *ev, int max, int timeout) {
    #ifdef SYS_epoll_wait
        return (int)syscall(SYS_epoll_wait, ep, ev, max, timeout);
    #else
        return (int)syscall(SYS_epoll_pwait, ep, ev, max, timeout, NULL, (size_t)8);
    #endif
    }
    static int hasten_millis(double timeout) {
        if (timeout > 86400.0) timeout = 86400.0;
        return (int)ceil(timeout * 1e3);
    }
    """
    int hasten_pwait2(int ep, epoll_event *ev, int max, double timeout) nogil
    int hasten_poll(int ep, epoll_event *ev, int max, int timeout) noexcept nogil
    int hasten_millis(double timeout) nogil

cdef extern from "<sys/epoll.h>" nogil:
    int EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL, EPOLL_CLOEXEC
    unsigned int EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR, EPOLLET, EPOLLPRI
    int epoll_create1(int flags)
    int epoll_ctl(int ep, int op, int fd, epoll_event *ev)

cdef extern from "<sys/eventfd.h>" nogil:
    int EFD_CLOEXEC, EFD_NONBLOCK
    int eventfd(unsigned int value, int flags)
    int eventfd_write(int fd, unsigned long long value)

cdef extern from "<unistd.h>" nogil:
    int c_close "close"(int fd)

cdef extern from *:
    """
    #include <fcntl.h>
    /* Puts one descriptor in the place of another, which is closed: at once, so that no other thread gets the number. */
    static int hasten_replace(int by, int fd) { return (int)syscall(SYS_dup3, by, fd, O_CLOEXEC); }
    """
    int hasten_replace(int by, int fd) noexcept nogil

cdef extern from *:
    """
    #include <pthread.h>
    /* How many forks there are between this process and the first. C code may fork without telling Python. */
    static unsigned int hasten_forks;
    static void hasten_count_fork(void) { hasten_forks++; }
    static int hasten_count_forks(void) { return pthread_atfork(NULL, NULL, hasten_count_fork); }
    """
    unsigned int hasten_forks
    int hasten_count_forks() noexcept

if hasten_count_forks() != 0:
    raise MemoryError

# poll.contract's events, which a leaf cannot import from above
cdef enum:
    READ = 1
    WRITE = 2
    HANGUP = 4
    LEVEL = 8


cdef inline unsigned int wanted(int events) noexcept:
    cdef unsigned int mask = 0
    if events & READ:
        mask |= EPOLLIN | EPOLLRDHUP
    if events & WRITE:
        mask |= EPOLLOUT
    if not events & LEVEL:
        mask |= EPOLLET
        if events & READ:
            mask |= EPOLLPRI    # a read of TCP ends at urgent data, with more behind it
    return mask


cdef int watch_eventfd(int ep, int wakefd) noexcept:
    cdef epoll_event ev
    ev.events = EPOLLIN | EPOLLET
    ev.data.u64 = <unsigned long long>-1
    return epoll_ctl(ep, EPOLL_CTL_ADD, wakefd, &ev)


cdef class Epoll:
    def __cinit__(self):
        self.epfd = self.wakefd = self.newfd = -1
        self.size = 1024
        self.forks = hasten_forks
        self.room = <epoll_event *>PyMem_RawMalloc(self.size * sizeof(epoll_event))
        if self.room == NULL:
            raise MemoryError()

    def __init__(self):
        if self.epfd >= 0:
            return
        self.epfd = epoll_create1(EPOLL_CLOEXEC)
        if self.epfd < 0:
            PyErr_SetFromErrno(OSError)
        self.wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        if self.wakefd < 0 or watch_eventfd(self.epfd, self.wakefd) < 0:
            PyErr_SetFromErrno(OSError)

    cdef int check_process(self) except -1:
        """Refuse to go on in a forked child: the epoll is shared, and a change here would change the parent's."""
        if self.forks != hasten_forks:
            raise RuntimeError("this event loop was made before a fork: the child process has to make its own")
        return 0

    cdef int add(self, int fd, int events, unsigned int generation) except -1:
        cdef epoll_event ev
        self.check_process()
        ev.events = wanted(events)
        ev.data.u64 = (<unsigned long long>generation << 32) | <unsigned int>fd
        if epoll_ctl(self.epfd, EPOLL_CTL_ADD, fd, &ev) == 0:
            return 0
        # the fd was closed behind our back, but a duplicate keeps the open file: take it over
        if errno == EEXIST and epoll_ctl(self.epfd, EPOLL_CTL_MOD, fd, &ev) == 0:
            return 0
        PyErr_SetFromErrno(OSError)
        return -1

    cdef int change(self, int fd, int events, unsigned int generation) except -1:
        cdef epoll_event ev
        self.check_process()
        ev.events = wanted(events)
        ev.data.u64 = (<unsigned long long>generation << 32) | <unsigned int>fd
        if epoll_ctl(self.epfd, EPOLL_CTL_MOD, fd, &ev) == 0:
            return 0
        # closed and opened anew: the kernel forgot it
        if errno == ENOENT and epoll_ctl(self.epfd, EPOLL_CTL_ADD, fd, &ev) == 0:
            return 0
        PyErr_SetFromErrno(OSError)
        return -1

    cdef int remove(self, int fd) except -1:
        cdef epoll_event ev
        if self.forks != hasten_forks:
            return 0
        if self.epfd >= 0 and epoll_ctl(self.epfd, EPOLL_CTL_DEL, fd, &ev) < 0:
            if errno != ENOENT and errno != EBADF and errno != EPERM:
                PyErr_SetFromErrno(OSError)
                return -1
        return 0

    cdef int renew(self) except -1:
        """Make one more epoll of the kernel's: restore() each descriptor in it, then replace() this one by it.

        Where one of these fails, call stay().
        """
        self.check_process()
        self.newfd = epoll_create1(EPOLL_CLOEXEC)
        if self.newfd < 0 or watch_eventfd(self.newfd, self.wakefd) < 0:
            PyErr_SetFromErrno(OSError)
        return 0

    cdef int restore(self, int fd, int events, unsigned int generation) except -1:
        """Add a descriptor to the new epoll, unless it was closed. What holds already is reported."""
        cdef epoll_event ev
        ev.events = wanted(events)
        ev.data.u64 = (<unsigned long long>generation << 32) | <unsigned int>fd
        # Only the old one can tell whether the number stands for the same file: it may be another's by now, or newfd.
        if epoll_ctl(self.epfd, EPOLL_CTL_MOD, fd, &ev) < 0:
            if errno == ENOENT or errno == EBADF or errno == EPERM:
                return 0
        elif epoll_ctl(self.newfd, EPOLL_CTL_ADD, fd, &ev) == 0:
            return 0
        PyErr_SetFromErrno(OSError)
        return -1

    cdef int replace(self) except -1:
        """Put the new epoll in the old one's place, under its number."""
        if hasten_replace(self.newfd, self.epfd) < 0:
            PyErr_SetFromErrno(OSError)
        return self.stay()

    cdef int stay(self) noexcept:
        """Let go of what renew() has made. A new epoll that is not used would count among what the user may watch."""
        if self.newfd >= 0:
            c_close(self.newfd)
            self.newfd = -1
        return 0

    cdef int wait(self, double timeout) except -1:
        """Wait at most `timeout` seconds for events. Then next() loads them one by one."""
        cdef int n, ep = self.epfd, room = self.size
        cdef epoll_event *ev = self.room
        self.check_process()
        self.seen = self.found = 0
        if timeout == 0.0:      # returns at once: the interpreter's lock need not be given away
            n = hasten_poll(ep, ev, room, 0)
        elif timeout < 0.0:
            with nogil:
                n = hasten_poll(ep, ev, room, -1)
        else:
            n = -1
            if not self.coarse:
                with nogil:
                    n = hasten_pwait2(ep, ev, room, timeout)
                if n < 0 and (errno == ENOSYS or errno == EPERM):
                    self.coarse = True
            if self.coarse:
                with nogil:
                    n = hasten_poll(ep, ev, room, hasten_millis(timeout))
        if n >= 0:
            self.found = n
            return 0
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)
            return -1
        PyErr_CheckSignals()
        return 0

    cdef bint next(self) noexcept:
        """Load the next event: its fd, events and generation. False: there is none."""
        cdef unsigned int mask
        cdef unsigned long long data
        cdef int events = 0
        if self.seen >= self.found:
            return False
        mask = self.room[self.seen].events
        data = self.room[self.seen].data.u64
        self.seen += 1
        if mask & (EPOLLIN | EPOLLPRI | EPOLLRDHUP):
            events |= READ
        if mask & EPOLLOUT:
            events |= WRITE
        if mask & (EPOLLRDHUP | EPOLLPRI):
            events |= HANGUP        # a short read is not the last
        if mask & (EPOLLHUP | EPOLLERR):
            events |= READ | WRITE | HANGUP
        self.events = events
        self.fd = <int><unsigned int>data
        self.generation = <unsigned int>(data >> 32)
        return True

    cdef int wake(self) except -1:
        eventfd_write(self.wakefd, 1)
        return 0

    def fileno(self):
        """The epoll fd; -1 once closed."""
        return self.epfd

    def close(self):
        """Close both fds. Closing again does nothing."""
        if self.epfd >= 0:
            c_close(self.epfd)
            self.epfd = -1
        if self.wakefd >= 0:
            c_close(self.wakefd)
            self.wakefd = -1
        self.stay()

    def __dealloc__(self):
        if self.epfd >= 0:
            c_close(self.epfd)
        if self.wakefd >= 0:
            c_close(self.wakefd)
        self.stay()
        PyMem_RawFree(self.room)
