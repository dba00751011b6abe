cimport cython
cimport hasten.kernel.step as step

cdef class ServerBase:
    cdef public object _sockets             # listening ones; None: closed
    cdef public object _protocol_factory
    cdef public object _context             # each connection runs in a copy of it
    cdef public set _clients                # transports

    @cython.locals(clients=set)
    cdef int _attach(self, object transport) except -1
    @cython.locals(clients=set)
    cdef int _detach(self, object transport) except -1
    cpdef _wake_waiters_if_done(self)
    cdef object make_protocol(self, object context)
