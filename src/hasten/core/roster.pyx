"""The list of a loop's unfinished tasks. The plain twin is roster.py."""
from cpython.object cimport visitproc

cdef extern from "hasten.h":
    int hasten_visit(PyObject *o, visitproc visit, void *arg) noexcept
    void hasten_patch_gc(object type, int (*traverse)(PyObject *, visitproc, void *) noexcept,
                         int (*clear)(PyObject *) noexcept) noexcept


cdef class Roster:
    def members(self):
        """Return the tasks, oldest first."""
        cdef Py_ssize_t i, n = self.count()
        cdef Node *node
        cdef list out
        while True:
            # to make the list may run anything, and others' threads: only after it is the list looked at
            out = [None] * n
            i = n
            n = self.count()
            if n == i:
                break
        node = self.first
        while node != NULL:
            i -= 1
            out[i] = <object>node.owner
            node = node.next
        return out

    def let_go(self):
        """Hold none of them any more."""
        _clear(<PyObject *>self)

    cdef Py_ssize_t count(self) noexcept:
        cdef Py_ssize_t n = 0
        cdef Node *node = self.first
        while node != NULL:
            n += 1
            node = node.next
        return n

    def __dealloc__(self):
        _clear(<PyObject *>self)


cdef int _traverse(PyObject *me, visitproc visit, void *arg) noexcept:
    cdef Node *n = (<Roster>me).first
    cdef int res
    while n != NULL:
        res = hasten_visit(n.owner, visit, arg)
        if res != 0:
            return res
        n = n.next
    return 0


cdef int _clear(PyObject *me) noexcept:
    cdef Roster r = <Roster>me
    while r.first != NULL:
        r.remove(r.first)
    return 0


hasten_patch_gc(Roster, _traverse, _clear)
