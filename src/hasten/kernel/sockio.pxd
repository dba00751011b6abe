from hasten.kernel.link cimport Link

cdef enum:
    CHUNK = 262144          # how much one recv takes at most, and what a transport reads at once
    NO_ROOM = -3

cdef int let_others_run() except -1
cdef object recv(Link link, Py_ssize_t expected, bint local)
cdef int give_back(object data, Py_ssize_t room) except -1
cdef Py_ssize_t recv_into(Link link, object buf, bint local) except -2
cdef object plain(object data)
cdef Py_ssize_t size(object data) except -1
cdef bytes exact(object data)
cdef bytes send(Link link, object data)
cdef Py_ssize_t send_from(Link link, bytes data, Py_ssize_t offset) except -2
cdef Py_ssize_t send_many(Link link, object items, Py_ssize_t offset) except -2
