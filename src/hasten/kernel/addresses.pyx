"""Socket addresses: as the kernel gives them (bytes), and as the socket module shows them. The plain twin is addresses.py.

To make Python objects of an address costs as much as a small recv, and few ask for it: it is kept as bytes until then.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

cdef extern from "addresses.h":
    int AF_INET, AF_INET6, AF_UNIX
    int hasten_name(int fd, int of_peer, hasten_address *a, socklen_t *n) nogil

cdef extern from *:
    """
    static PyObject *hasten_show_internet(const hasten_address *a) {
        char text[INET6_ADDRSTRLEN];
        if (a->any.sa_family == AF_INET) {
            if (!inet_ntop(AF_INET, &a->four.sin_addr, text, sizeof text)) return PyErr_SetFromErrno(PyExc_OSError);
            return Py_BuildValue("si", text, ntohs(a->four.sin_port));
        }
        if (!inet_ntop(AF_INET6, &a->six.sin6_addr, text, sizeof text)) return PyErr_SetFromErrno(PyExc_OSError);
        return Py_BuildValue("siII", text, ntohs(a->six.sin6_port), (unsigned)ntohl(a->six.sin6_flowinfo),
                             (unsigned)a->six.sin6_scope_id);
    }
    static PyObject *hasten_show_local(const hasten_address *a, size_t n) {
        size_t before = offsetof(struct sockaddr_un, sun_path);
        const char *path = a->local.sun_path;
        n = n > before ? n - before : 0;
        if (n > sizeof a->local.sun_path) n = sizeof a->local.sun_path;
        if (n > 0 && path[0] == 0) return PyBytes_FromStringAndSize(path, (Py_ssize_t)n);      /* Linux: abstract */
        return PyUnicode_DecodeFSDefaultAndSize(path, (Py_ssize_t)strnlen(path, n));
    }
    static PyObject *hasten_show(const char *raw, Py_ssize_t n) {       /* new, as the socket module shows it */
        hasten_address a;
        memset(&a, 0, sizeof a);
        memcpy(&a, raw, (size_t)n < sizeof a ? (size_t)n : sizeof a);
        if (a.any.sa_family == AF_UNIX) return hasten_show_local(&a, (size_t)n);
        return hasten_show_internet(&a);
    }
    """
    object hasten_show(const char *raw, Py_ssize_t n)


cdef bint internet(int family) noexcept:
    """True for IPv4 and IPv6."""
    return family == AF_INET or family == AF_INET6


cdef bint known(int family) noexcept:
    """True if shown() can show such addresses."""
    return internet(family) or family == AF_UNIX


cdef bytes raw(hasten_address *address, socklen_t n):
    """Return an address that the kernel has written, `n` bytes of it; None if it wrote none."""
    if n == 0:
        return None
    return PyBytes_FromStringAndSize(<char *>address, n if n < sizeof(hasten_address) else sizeof(hasten_address))


cdef bytes name_of(int fd, bint of_peer):
    """Return the socket's own address or its peer's, raw; None if it has none."""
    cdef hasten_address a
    cdef socklen_t n = sizeof(a)
    return None if hasten_name(fd, of_peer, &a, &n) else raw(&a, n)


cdef object shown(bytes address):
    """Return a raw address as the socket module shows it. Raises OSError, UnicodeError."""
    return hasten_show(PyBytes_AS_STRING(address), PyBytes_GET_SIZE(address))
