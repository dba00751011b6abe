cimport cython

# how much one recv takes at most, and what a transport reads at once
cdef enum:
    CHUNK = 262144

cdef object recv(object sock, int fd)
cdef Py_ssize_t recv_into(object sock, int fd, object buf) except -2
cdef Py_ssize_t send(object sock, int fd, object data) except -2
cdef Py_ssize_t send_from(object sock, int fd, object data, Py_ssize_t offset) except -2
cdef Py_ssize_t send_many(object sock, int fd, object items, Py_ssize_t offset) except -2
