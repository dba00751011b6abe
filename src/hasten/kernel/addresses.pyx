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
    static int hasten_number(PyObject *o, unsigned long most, unsigned long *to) {
        if (!PyLong_CheckExact(o)) return 0;
        *to = PyLong_AsUnsignedLong(o);
        if (*to == (unsigned long)-1 && PyErr_Occurred()) PyErr_Clear();
        else if (*to <= most) return 1;
        return 0;
    }
    static const char *hasten_text(PyObject *o) {       /* of ASCII only, as numeric addresses are; or NULL */
        return PyUnicode_CheckExact(o) && PyUnicode_IS_ASCII(o) ? (const char *)PyUnicode_1BYTE_DATA(o) : NULL;
    }
    /* Writes the kernel's form of a numeric address and returns its size; 0 if it is none. Runs no other code. */
    static socklen_t hasten_pack_internet(int family, PyObject *t, hasten_address *a) {
        unsigned long port, flow = 0, scope = 0;
        Py_ssize_t n = PyTuple_CheckExact(t) ? PyTuple_GET_SIZE(t) : 0;
        const char *host = n >= 2 ? hasten_text(PyTuple_GET_ITEM(t, 0)) : NULL;
        /* a NUL would end it early */
        if (host == NULL || strlen(host) != (size_t)PyUnicode_GET_LENGTH(PyTuple_GET_ITEM(t, 0))) return 0;
        if (!hasten_number(PyTuple_GET_ITEM(t, 1), 65535, &port)) return 0;
        if (family == AF_INET) {
            if (n != 2 || inet_pton(AF_INET, host, &a->four.sin_addr) != 1) return 0;
            a->four.sin_family = AF_INET;
            a->four.sin_port = htons((unsigned short)port);
            return sizeof a->four;
        }
        if (n > 4 || inet_pton(AF_INET6, host, &a->six.sin6_addr) != 1) return 0;
        if (n > 2 && !hasten_number(PyTuple_GET_ITEM(t, 2), 0xfffff, &flow)) return 0;
        if (n > 3 && !hasten_number(PyTuple_GET_ITEM(t, 3), 0xffffffff, &scope)) return 0;
        a->six.sin6_family = AF_INET6;
        a->six.sin6_port = htons((unsigned short)port);
        a->six.sin6_flowinfo = htonl((uint32_t)flow);
        a->six.sin6_scope_id = (uint32_t)scope;
        return sizeof a->six;
    }
    static socklen_t hasten_pack_local(PyObject *path, hasten_address *a) {
        const char *start = hasten_text(path);
        Py_ssize_t n = start != NULL ? PyUnicode_GET_LENGTH(path) : 0;
        if (PyBytes_CheckExact(path)) {
            start = PyBytes_AS_STRING(path);
            n = PyBytes_GET_SIZE(path);
        }
        /* the first byte of an abstract name is 0; a path has none, and ends with one */
        if (n == 0 || n >= (Py_ssize_t)sizeof a->local.sun_path) return 0;
        if (start[0] != 0 && memchr(start, 0, (size_t)n) != NULL) return 0;
        a->local.sun_family = AF_UNIX;
        memcpy(a->local.sun_path, start, (size_t)n);
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n + (start[0] != 0));
    }
    static socklen_t hasten_pack(int family, PyObject *shown, hasten_address *a) {
        memset(a, 0, sizeof *a);
        return family == AF_UNIX ? hasten_pack_local(shown, a) : hasten_pack_internet(family, shown, a);
    }
    """
    object hasten_show(const char *raw, Py_ssize_t n)
    socklen_t hasten_pack(int family, object shown, hasten_address *a) noexcept


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


cdef bytes packed(int family, object address):
    """Return the kernel's form of an address as the socket module takes it, of a known family.

    None: it is wrong, or has a name that must be looked up, or it is an unusual form: the socket module knows.
    """
    cdef hasten_address a
    cdef socklen_t n = hasten_pack(family, address, &a)
    return None if n == 0 else raw(&a, n)
