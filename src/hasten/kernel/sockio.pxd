cimport cython

# how much one recv takes at most, and what a transport reads at once
cdef enum:
    CHUNK = 262144

cdef object recv(object sock, int fd, Py_ssize_t expected, bint local)
# of the latest recv() or recv_into(), to be looked at before anything else is called
cdef Py_ssize_t capacity    # what it could have taken: one that gave as much has not drained the socket
cdef Py_ssize_t lent        # room of the object that give_back() wants; 0: an ordinary one
cdef int give_back(object data, Py_ssize_t room) except -1
cdef Py_ssize_t recv_into(object sock, int fd, object buf, bint local) except -2
cdef Py_ssize_t send(object sock, int fd, object data) except -2
cdef Py_ssize_t send_from(object sock, int fd, object data, Py_ssize_t offset) except -2
cdef Py_ssize_t send_many(object sock, int fd, object items, Py_ssize_t offset) except -2
