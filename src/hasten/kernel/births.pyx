"""What calling a class makes, where the class itself has to stay. The plain twin is births.py.

`asyncio.Task(coro, loop=loop)` is what libraries write that start tasks eagerly. The class cannot be exchanged for ours:
isinstance, subclasses and annotations name it. But calling a class is two steps, tp_new and tp_init, and the second is
left out where the first gives an object of another type. So the class is given a tp_new that may make another object.
A subclass inherits the function; its objects, and those of the class on other loops, are made as ever.
"""
import asyncio

from cpython.object cimport PyObject

cdef extern from *:
    """
    typedef PyObject *(*hasten_newfunc)(PyObject *, PyObject *, PyObject *);      /* newfunc, of plain objects */
    static hasten_newfunc hasten_tp_new(PyObject *kind) { return (hasten_newfunc)((PyTypeObject *)kind)->tp_new; }
    static void hasten_set_tp_new(PyObject *kind, hasten_newfunc f) { ((PyTypeObject *)kind)->tp_new = (newfunc)f; }
    static int hasten_is_instance(PyObject *o, PyObject *kind) { return PyObject_TypeCheck(o, (PyTypeObject *)kind); }
    """
    ctypedef object (*newfunc "hasten_newfunc")(PyObject *, PyObject *, PyObject *)
    newfunc tp_new_of "hasten_tp_new"(object kind)
    void set_tp_new "hasten_set_tp_new"(object kind, newfunc f)
    bint is_instance "hasten_is_instance"(object o, object kind)

cdef newfunc _stock = NULL      # stays when the class is given it back: ours may be running, in another thread
cdef object _kind = None
cdef object _ours = None
cdef object _loops = None


def available() -> bool:
    """True if a class can be exchanged so."""
    return True


def exchange(kind, ours, loops) -> None:
    """Have `kind(coro, ...)` be `ours(loop, coro, name, context, eager_start)` if the loop is of the class `loops`.

    The loop is the one that is given, or that runs. Arguments that are not such a task's are left to the class.
    One class for the whole process: another one is refused.
    """
    global _stock, _kind, _ours, _loops
    if not isinstance(kind, type) or not isinstance(loops, type):
        raise TypeError("exchange() takes classes")
    if _stock != NULL and kind is not _kind:
        raise RuntimeError(f"{_kind!r} has been exchanged before")
    if _stock == NULL:
        _stock = tp_new_of(kind)
    _kind, _ours, _loops = kind, ours, loops
    _put(kind, _stock, <newfunc>new)


def restore() -> None:
    """Have the class make its own again."""
    global _ours
    _ours = None
    if _stock != NULL and tp_new_of(_kind) == <newfunc>new:
        _put(_kind, <newfunc>new, _stock)


cdef int _put(object kind, newfunc before, newfunc now) except -1:
    """Give the class, and the subclasses that have inherited it, another tp_new.

    A subclass that keeps the old one could not be made by `super().__new__(cls)`: "Task.__new__(Sub) is not safe".
    """
    set_tp_new(kind, now)
    for each in type.__subclasses__(kind):
        if tp_new_of(each) == before:       # else it has a __new__() of its own, and what is below has that one
            _put(each, before, now)
    return 0


cdef object new(PyObject *kind, PyObject *args, PyObject *kwargs):
    ours = _ours
    if ours is None or kind != <PyObject *>_kind or args == NULL:
        return _stock(kind, args, kwargs)
    loop = name = context = None
    eager = False
    given = len(<tuple>args)
    coro = (<tuple>args)[0] if given == 1 else None
    if kwargs != NULL:
        for key, value in (<dict>kwargs).items():
            if key == "loop":
                loop = value
            elif key == "name":
                name = value
            elif key == "context":
                context = value
            elif key == "eager_start":
                eager = bool(value)
            elif key == "coro":
                coro = value
                given += 1
            else:
                given = 0
                break
    if given == 1:      # 0: it is __new__() by itself, as copy calls it, or what the class refuses
        if loop is None:
            loop = asyncio._get_running_loop()
        if is_instance(loop, _loops):
            return ours(loop, coro, name, context, eager)
    return _stock(kind, args, kwargs)
