cimport cython
cimport hasten.kernel.socket_channel as socket_channel
cimport hasten.kernel.step as step
cimport hasten.net.stream as stream
from hasten.core.scheduler cimport Scheduler
from hasten.kernel.socket_channel cimport SocketChannel
from hasten.net.server_base cimport ServerBase

cdef class Listener:
    cdef object loop
    cdef Scheduler scheduler        # the same
    cdef ServerBase server
    cdef object sock
    cdef object inner               # the socket.socket whose accept() it has; else the same
    cdef object handle              # of its reader, or None
    cdef int fd
    cdef int family                 # its address family; -1: it has an accept() of its own
    cdef int most                   # connections that are taken in one go
    cdef object retry               # the timer that starts accepting again, or None

    cdef int unwatch(self) except -1
    cdef int pause(self, object exc) except -1
    @cython.locals(server=ServerBase)
    cdef int open(self, SocketChannel channel) except -1
