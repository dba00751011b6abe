from hasten.kernel.workshop cimport Workshop

cdef bint is_plain(object sock) noexcept
cdef int number(object sock) except -2
cdef bint is_tcp(object sock) noexcept
cdef bytes receive(object sock, Py_ssize_t room, Workshop workshop)
cdef Py_ssize_t receive_into(object sock, object buf) except -2
cpdef object send_file(int to, int file, long long offset, Py_ssize_t count)
cdef Py_ssize_t send(object sock, object data, Py_ssize_t offset) except -2
