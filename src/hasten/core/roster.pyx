"""The list of a loop's unfinished tasks. The plain twin is roster.py."""
from cpython.object cimport visitproc

cdef extern from "hasten.h":
    int hasten_visit(PyObject *o, visitproc visit, void *arg) noexcept
    void hasten_patch_gc(object type, int (*traverse)(PyObject *, visitproc, void *) noexcept,
                         int (*clear)(PyObject *) noexcept) noexcept


cdef class Roster:
    def members(self):
        """The tasks, oldest first."""
        cdef Node *n = self.first
        out = []
        while n != NULL:
            out.append(<object>n.owner)
            n = n.next
        out.reverse()
        return out

    def let_go(self):
        """Holds none of them any more."""
        _clear(<PyObject *>self)

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
