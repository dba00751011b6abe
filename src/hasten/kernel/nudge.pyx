"""Has the main thread call a function in the middle of what it does. The plain twin is nudge.py.

A thread that waits for the interpreter's lock gets it where the other one gives it away: mostly in a system call, between
two steps. To see what runs, the lock must not be waited for. Py_AddPendingCall() needs no lock: what it is given is called
by the main thread at its next check for signals, as a signal handler would be.
"""
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, clockid_t, nanosleep, timespec

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


def after(double seconds, int clock) -> bool:
    """Sleep, then nudge the main thread if that is on a processor; return whether it is.

    `clock`: time.pthread_getcpuclockid() of the main thread.
    """
    global _outstanding
    cdef double start, used
    cdef bint on
    with nogil:
        _sleep(seconds)
        start, used = _read(CLOCK_MONOTONIC), _read(clock)
        _sleep(0.0001)
        on = (_read(clock) - used) * 2 > _read(CLOCK_MONOTONIC) - start
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


cdef double _read(clockid_t clock) noexcept nogil:
    cdef timespec t
    if clock_gettime(clock, &t) != 0:
        return 0.0
    return t.tv_sec + t.tv_nsec * 1e-9
