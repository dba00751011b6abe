"""Public functions and methods of compiled code, as inspect, unittest.mock and tracers expect them.

The plain twin is functions.py.

A function that Cython makes with `binding=True` tells its parameters, but isinstance says that it is no function, `async`
cannot be seen of it, and as a method it takes anything for `self`, which crashes. A Function stands before it: it shows
what a function of Python's shows, checks `self`, and passes calls on by one jump.
"""
import builtins
from types import FunctionType, MethodDescriptorType

from hasten.kernel import sharing, step
from hasten.kernel.codes import code_like, real_names


cdef extern from "Python.h":
    vectorcall PyVectorcall_Function(object f) noexcept
    PyObject *PyObject_Vectorcall(PyObject *, PyObject *const *, size_t, PyObject *) noexcept
    Py_ssize_t PyVectorcall_NARGS(size_t n) noexcept
    object PyMethod_New(object f, object obj)
    PyObject *PyErr_Format(PyObject *kind, const char *text, ...) noexcept
    PyObject *PyExc_TypeError

cdef extern from "functions.h":
    bint hasten_is_instance(PyObject *o, PyObject *cls) noexcept
    PyObject *hasten_type_dict(object cls) noexcept
    object hasten_own_method(object cls, object descriptor)
    void hasten_class_changed(object cls) noexcept
    int hasten_set_class(object cls, object kind, object order, object bases) except -1
    int hasten_open_type(object cls) except -1
    int hasten_set_signature(object cls, const char *text) except -1
    void hasten_patch_callable(object cls, Py_ssize_t offset) noexcept

cdef extern from "naming.h":
    void hasten_call_coroutine(object cls) noexcept

cdef extern from *:
    """
    static inquiry hasten_clear_rest;       /* what Cython has made, of the one class that is served */
    static Py_ssize_t hasten_dict_at;

    static int hasten_clear_dict_last(PyObject *o) {
        PyObject **slot = (PyObject **)((char *)o + hasten_dict_at), *dict = *slot;
        int res;
        *slot = NULL;       /* no dict yet: what runs from here on finds an object whose attributes can be looked up */
        res = hasten_clear_rest(o);
        if (*slot == Py_None) Py_CLEAR(*slot);
        Py_XDECREF(dict);
        return res;
    }
    static int hasten_keep_dict_right(PyObject *cls) {
        PyTypeObject *type = (PyTypeObject *)cls;
        if (hasten_clear_rest != NULL || type->tp_clear == NULL || type->tp_dictoffset <= 0) return 0;
        hasten_clear_rest = type->tp_clear;
        hasten_dict_at = type->tp_dictoffset;
        type->tp_clear = hasten_clear_dict_last;
        return 1;
    }
    """
    bint hasten_keep_dict_right(object cls) noexcept


cdef PyObject *_call(PyObject *me, PyObject *const *args, size_t n, PyObject *names) noexcept:
    return (<Function>me).inner_entry(<PyObject *>(<Function>me).inner, args, n, names)


cdef PyObject *_call_method(PyObject *me, PyObject *const *args, size_t n, PyObject *names) noexcept:
    if PyVectorcall_NARGS(n) < 1:
        return PyErr_Format(PyExc_TypeError, b"unbound method %U() needs an argument", <PyObject *>(<Function>me).qualname)
    if not hasten_is_instance(args[0], <PyObject *>(<Function>me).owner):
        return PyErr_Format(PyExc_TypeError, b"%U() requires an object of its class as first argument, got %R",
                            <PyObject *>(<Function>me).qualname, args[0])
    return (<Function>me).inner_entry(<PyObject *>(<Function>me).inner, args, n, names)


cdef class Function:
    """What a public function of compiled code is."""

    def __init__(self):
        raise TypeError("cannot create 'hasten.kernel.functions.Function' instances")

    def __get__(self, obj, owner):
        return self if obj is None else PyMethod_New(self, obj)

    def __call__(self, *args, **kwargs):    # replaced below; it stands for the attribute
        pass

    def __repr__(self):
        return f"<function {self.qualname} at {id(self):#x}>"

    def __reduce__(self):
        return self.qualname

    @property
    def __class__(self):
        return FunctionType

    @property
    def __name__(self):
        return self.name

    @__name__.setter
    def __name__(self, value):
        if not isinstance(value, str):
            raise TypeError("__name__ must be set to a string object")
        self.name = value

    @__name__.deleter
    def __name__(self):
        raise TypeError("__name__ must be set to a string object")

    @property
    def __qualname__(self):
        return self.qualname

    @__qualname__.setter
    def __qualname__(self, value):
        if not isinstance(value, str):
            raise TypeError("__qualname__ must be set to a string object")
        self.qualname = value

    @__qualname__.deleter
    def __qualname__(self):
        raise TypeError("__qualname__ must be set to a string object")

    @property
    def __doc__(self):
        return self.doc

    @__doc__.setter
    def __doc__(self, value):
        self.doc = value

    @__doc__.deleter
    def __doc__(self):
        self.doc = None

    @property
    def __module__(self):
        return self.module

    @__module__.setter
    def __module__(self, value):
        self.module = value

    @__module__.deleter
    def __module__(self):
        self.module = None

    @property
    def __annotations__(self):
        if self.annotations is None:
            self.annotations = self.inner.__annotations__
        return self.annotations

    @__annotations__.setter
    def __annotations__(self, value):
        if value is not None and not isinstance(value, dict):
            raise TypeError("__annotations__ must be set to a dict object")
        self.annotations = {} if value is None else value

    @__annotations__.deleter
    def __annotations__(self):
        self.annotations = {}

    @property
    def __defaults__(self):
        return self.inner.__defaults__

    @property
    def __kwdefaults__(self):
        return self.inner.__kwdefaults__

    @property
    def __globals__(self):
        return self.inner.__globals__

    @property
    def __builtins__(self):
        return vars(builtins)

    @property
    def __closure__(self):
        return None

    @property
    def __type_params__(self):
        return ()

    @property
    def __code__(self):
        if self.code is None:
            self.code = code_like(self.inner.__code__, self.inner.__globals__.get("__file__"), self.is_coroutine)
        return self.code


cdef bint is_compiled(object f):
    return type(f).__name__ == "cython_function_or_method"


cdef Function wrap(object inner, object owner, bint is_coroutine):
    cdef Function f = Function.__new__(Function)
    f.inner = inner
    f.inner_entry = PyVectorcall_Function(inner)
    if f.inner_entry == NULL:   # it takes `*args`
        f.inner_entry = PyObject_Vectorcall
    f.entry = _call if owner is None else _call_method
    f.owner = owner
    f.is_coroutine = is_coroutine
    f.name = inner.__name__
    f.qualname = inner.__qualname__
    f.module = inner.__module__
    f.doc = inner.__doc__
    return f


def function(f):
    """Decorate a public function."""
    if not is_compiled(f):
        raise TypeError(f"a function that was compiled with binding=True was expected, got {f!r}")
    return wrap(f, None, False)


def coroutine_function(f):
    """Decorate a public function that returns a coroutine, as an `async def` does."""
    if not is_compiled(f):
        raise TypeError(f"a function that was compiled with binding=True was expected, got {f!r}")
    return wrap(f, None, True)


def publish(cls, str parameters, *coroutines):
    """Make a class public: methods show what they are, and it can be changed (and patched) like Python's own.

    Arguments:
        parameters: of a call of the class, as inspect is to see them.
        coroutines: names of the methods that give a coroutine, as those made by `async def` do.
    """
    if not isinstance(cls, type) or cls.__flags__ & 512 or not cls.__module__.startswith("hasten."):
        raise TypeError(f"an extension type of hasten's own was expected, got {cls!r}")
    contents = <object>hasten_type_dict(cls)
    for name, value in list(contents.items()):
        if is_compiled(value):
            contents[name] = wrap(value, cls, name in coroutines)
    contents["__module__"] = cls.__module__
    hasten_set_signature(cls, f"{cls.__name__}{parameters}\n--\n\n{cls.__doc__}".encode())
    hasten_open_type(cls)


def coroutine_class(cls, Py_ssize_t limit):
    """Make a class one of native coroutines, which the interpreter's messages call `coroutine`, as it calls its own.

    The memory of up to `limit` dead instances of this very class is kept for new ones.
    """
    step.native(cls)
    if limit:
        step.pool(cls, limit)
    real_names[cls] = cls.__module__, cls.__name__
    hasten_call_coroutine(cls)


def share(cls, stock):
    """Have a class stand for one of asyncio's, and that one for it: see sharing.py.

    Arguments:
        stock: asyncio's class; None: only derived classes stand for one.
    """
    if isinstance(cls, type) and cls.__flags__ & 512 and stock is not None:
        sharing.share(cls, stock)
        return
    if not isinstance(cls, type) or not cls.__module__.startswith("hasten."):
        raise TypeError(f"a class of hasten's own was expected, got {cls!r}")
    order = bases = None
    if stock is not None:
        sharing.note(cls, stock)
        if sharing.inheritable(stock):
            order = tuple(sharing.order_with(cls.__mro__, stock))
            bases = sharing.bases_with(cls.__bases__, stock)
    hasten_set_class(cls, sharing.Shared, order, bases)


def own_methods(cls):
    """Give a class of hasten's what it inherits from other such classes as methods of its own.

    The interpreter calls a compiled method straight only where the object's class is the one that has it.
    """
    if not isinstance(cls, type) or cls.__flags__ & 512 or not cls.__module__.startswith("hasten."):
        raise TypeError(f"an extension type of hasten's own was expected, got {cls!r}")
    contents = <object>hasten_type_dict(cls)
    for base in cls.__mro__[1:]:
        if not base.__module__.startswith("hasten."):
            break
        for name, value in list((<object>hasten_type_dict(base)).items()):
            if type(value) is MethodDescriptorType and not name.startswith("__") and name not in contents:
                contents[name] = hasten_own_method(cls, value)
    hasten_class_changed(cls)


def clear_dict_last(cls):
    """Have the collector leave an object of this class, or of one derived from it, with attributes that can be looked up.

    Cython puts None in the place of the object's dict before it drops what was in there, whose destructors may still use
    the object; and what looks an attribute up takes it for a dict. For one class that Cython has made.
    """
    if not isinstance(cls, type) or not hasten_keep_dict_right(cls):
        raise TypeError(f"one class with a dict of its own was expected, once, got {cls!r}")


cdef int _prepare() except -1:
    cdef Function f = Function.__new__(Function)
    hasten_patch_callable(Function, <char *>&f.entry - <char *><PyObject *>f)
    return 0


_prepare()
