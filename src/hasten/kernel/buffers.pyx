"""The bytes of anything that has a buffer. The plain twin is buffers.py."""
from cpython.buffer cimport (
    PyBUF_FULL_RO, PyBUF_SIMPLE, PyBuffer_IsContiguous, PyBuffer_Release, PyBuffer_ToContiguous, PyObject_GetBuffer,
)
from cpython.bytearray cimport PyByteArray_CheckExact
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromObject, PyMemoryView_GET_BUFFER


cdef object plain(object data):
    """Return what can be read without running code of others.

    That is bytes, a bytearray or a memoryview itself, a view of anything else with a buffer, and a copy of what does
    not lie in one piece.
    """
    if PyBytes_CheckExact(data) or PyByteArray_CheckExact(data):
        return data
    view = PyMemoryView_FromObject(data)
    return view if PyBuffer_IsContiguous(PyMemoryView_GET_BUFFER(view), c'C') else exact(view)


cdef Py_ssize_t size(object data) except -1:
    """The number of bytes of what plain() returned."""
    cdef Py_buffer view
    cdef Py_ssize_t n
    if PyBytes_CheckExact(data):
        return PyBytes_GET_SIZE(data)
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    n = view.len
    PyBuffer_Release(&view)
    return n


cdef bytes exact(object data):
    """Return the bytes of anything with a buffer, copied unless they cannot change."""
    cdef Py_buffer view
    if PyBytes_CheckExact(data):
        return data
    PyObject_GetBuffer(data, &view, PyBUF_FULL_RO)
    try:
        copy = PyBytes_FromStringAndSize(NULL, view.len)
        PyBuffer_ToContiguous(PyBytes_AS_STRING(copy), &view, view.len, c'C')
    finally:
        PyBuffer_Release(&view)
    return copy
