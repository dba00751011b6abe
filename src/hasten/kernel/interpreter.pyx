"""What a thread owes to others while it runs nothing but C: signals, and the interpreter's lock. The plain twin is
interpreter.py.
"""
from cpython.exc cimport PyErr_CheckSignals

cdef extern from "interpreter.h":
    void hasten_share_lock()


cdef int check_signals() except -1:
    """Runs the Python handlers of signals that have come; their exceptions are raised."""
    PyErr_CheckSignals()
    return 0


cdef int share_lock() except -1:
    """Lets another thread have the interpreter's lock if one waits for it. Anything may have happened afterwards."""
    hasten_share_lock()
    return 0
