cimport cython
from cpython.ref cimport PyObject

cdef extern from "hasten.h":
    void hasten_incref "Py_INCREF"(PyObject *) noexcept
    void hasten_decref "Py_DECREF"(PyObject *) noexcept

cdef struct Node:
    PyObject *owner             # the task; a strong reference while listed, NULL otherwise
    Node *prev
    Node *next

@cython.final
cdef class Roster:
    """All unfinished tasks of a loop, newest first: a list threaded through the tasks themselves."""
    cdef Node *first
    cdef readonly unsigned long long listed, delisted    # how many tasks there were ever, and how many have ended
    cdef object keep            # unused: gives the type a place in the garbage collector
    cdef object __weakref__

    cdef Py_ssize_t count(self) noexcept
    cdef inline int add(self, Node *node, object owner) noexcept:
        node.owner = <PyObject *>owner
        hasten_incref(node.owner)
        node.prev = NULL
        node.next = self.first
        if self.first != NULL:
            self.first.prev = node
        self.first = node
        self.listed += 1
        return 0
    cdef inline int remove(self, Node *node) noexcept:
        cdef PyObject *owner = node.owner
        if owner == NULL:
            return 0
        if node.prev != NULL:
            node.prev.next = node.next
        else:
            self.first = node.next
        if node.next != NULL:
            node.next.prev = node.prev
        node.prev = node.next = NULL
        node.owner = NULL
        self.delisted += 1
        hasten_decref(owner)
        return 0
