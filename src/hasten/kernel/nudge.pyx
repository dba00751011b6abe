"""Has the main thread call a function in the middle of what it does. The plain twin is nudge.py.

A thread that waits for the interpreter's lock gets it where the other one gives it away: mostly in a system call, between
two steps. To see what runs, the lock must not be waited for. Py_AddPendingCall() needs no lock: what it is given is called
by the main thread at its next check for signals, as a signal handler would be.
"""
from posix.fcntl cimport O_RDONLY, open
from posix.time cimport nanosleep, timespec
from posix.unistd cimport close, read

cdef extern from *:
    """
    #include <fcntl.h>
    static inline char *hasten_last_bracket(char *text, Py_ssize_t n) {     /* memrchr() is not everywhere */
        while (n-- > 0) if (text[n] == ')') return text + n;
        return NULL;
    }
    """
    char *last_bracket "hasten_last_bracket"(char *text, Py_ssize_t n) noexcept nogil
    int O_CLOEXEC

cdef extern from "Python.h":
    int Py_AddPendingCall(int (*function)(void *) except -1, void *argument) nogil

cdef object _hook = None
cdef bint _outstanding = False


def available() -> bool:
    """True if the main thread can be nudged here."""
    return True


def set_hook(hook) -> None:
    """Have `hook()` called in the main thread by each nudge; None: nothing."""
    global _hook, _outstanding
    _hook = hook
    if hook is None:
        _outstanding = False  # a forked child may never get to it


def after(double seconds, bytes path) -> bool:
    """Sleep, then nudge the main thread if that is at work; return whether it is.

    `path`: of the file in which the kernel tells how the main thread is, /proc/self/task/NUMBER/stat.
    """
    global _outstanding
    cdef const char *name = path
    cdef bint on
    with nogil:
        _sleep(seconds)
        on = _runs(name)
        if on and not _outstanding:
            _outstanding = True
            if Py_AddPendingCall(called, NULL) < 0:
                _outstanding = False
    return on


cdef int called(void *unused) except -1:
    """What an Exception of the hook says is nobody's business; a KeyboardInterrupt that came meanwhile goes on."""
    global _outstanding
    hook = _hook
    _outstanding = False
    if hook is not None:
        try:
            hook()
        except Exception:
            pass
    return 0


cdef void _sleep(double seconds) noexcept nogil:
    cdef timespec t
    t.tv_sec = <long>seconds
    t.tv_nsec = <long>((seconds - t.tv_sec) * 1e9)
    nanosleep(&t, NULL)


cdef bint _runs(const char *path) noexcept nogil:
    """True if the thread is on a processor, or ready to be: its state, behind the last bracket, is R."""
    cdef char text[256]
    cdef char *end
    cdef Py_ssize_t n
    cdef int fd = open(path, O_RDONLY | O_CLOEXEC)
    if fd < 0:
        return False
    n = read(fd, text, sizeof(text))
    close(fd)
    end = last_bracket(text, n)
    return end != NULL and end + 2 < text + n and end[2] == c'R'
