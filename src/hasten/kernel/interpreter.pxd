cdef extern from *:
    """
    /* Changes when an attribute of obj's class, or of a base, is set; 0: nobody has looked an attribute up since. */
    static inline unsigned int hasten_class_version(PyObject *obj) { return Py_TYPE(obj)->tp_version_tag; }
    """
    unsigned int class_version "hasten_class_version"(object obj) noexcept

cdef int check_signals() except -1
cdef int share_lock() except -1
