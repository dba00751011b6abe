# collections.deque by its own C functions. The plain twin is deques.py.

cdef extern from "deques.h":
    object new "hasten_new_deque"()
    list pair "hasten_pair"(object first, object second)
    int push "hasten_push"(object dq, object item) except -1
    object shift "hasten_shift"(object dq)
    Py_ssize_t size "PyObject_Size"(object dq) except -1
