cimport cython

cdef extern from "<sys/epoll.h>" nogil:
    cdef union epoll_data:
        unsigned long long u64
    cdef struct epoll_event:
        unsigned int events
        epoll_data data

@cython.final
cdef class Epoll:
    """An epoll instance with an eventfd to end its waits."""
    cdef int epfd                       # -1 once closed
    cdef int wakefd
    cdef int newfd                      # of renew(), until replace() or stay(); else -1
    cdef epoll_event *room
    cdef int size                       # of room, in events
    cdef bint coarse                    # no epoll_pwait2: milliseconds
    cdef unsigned int forks             # when it was made: after a fork the kernel's object is the parent's
    cdef int found, seen                # events in room: how many came, how many of them next() has loaded
    cdef int fd, events                 # of the event loaded last; events are poll.contract's
    cdef unsigned int generation

    cdef int check_process(self) except -1
    cdef int add(self, int fd, int events, unsigned int generation) except -1
    cdef int change(self, int fd, int events, unsigned int generation) except -1
    cdef int remove(self, int fd) except -1
    cdef int renew(self) except -1
    cdef int restore(self, int fd, int events, unsigned int generation) except -1
    cdef int replace(self) except -1
    cdef int stay(self) noexcept
    cdef int wait(self, double timeout) except -1
    cdef inline int left(self) noexcept:
        """How many events next() has not loaded yet."""
        return self.found - self.seen
    cdef bint next(self) noexcept
    cdef int wake(self) except -1
