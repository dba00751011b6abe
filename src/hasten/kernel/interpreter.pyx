"""What a thread owes to others while it runs nothing but C: signals, and the interpreter's lock. The plain twin is
interpreter.py.
"""
from cpython.exc cimport PyErr_CheckSignals

cdef extern from "interpreter.h":
    void hasten_share_lock()


cdef int check_signals() except -1:
    """Run the Python handlers of signals that have come. Raises what they raise."""
    PyErr_CheckSignals()
    return 0


cdef int share_lock() except -1:
    """Let another thread have the interpreter's lock if one waits for it, and none has had it since the last call.

    That thread may change anything.
    """
    hasten_share_lock()
    return 0
