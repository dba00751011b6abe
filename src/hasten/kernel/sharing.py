"""Classes of hasten's that stand for asyncio's, and asyncio's for them, in isinstance(), issubclass() and `match`.

A program that says `asyncio.Task` through hasten means any task, also one that a library or another loop has made. So
the public classes have a class of their own, `Shared`, which is asked by isinstance(x, hasten.Task), unless the type of
`x` is exactly that: then Python does not ask. Code that must know whether an object is hasten's own goes by the type
alone (`step.is_instance`).

The other way, isinstance(ours, asyncio.Lock), asks nobody: there asyncio's class stands in the order of resolution of
ours, behind all of hasten's. Where asyncio's has memory of its own (Future, Task, Handle), that is not possible, and an
object of ours says by its `__class__` that it is one.
"""

from __future__ import annotations

from abc import ABCMeta
from typing import Any, Protocol


class _Plain:
    pass


class _Module(str):
    """The `__module__` of Shared; each class of it has its own. A plain name would be what extension types show."""

    def __get__(self, cls: Any, kind: Any = None) -> Any:
        return self if cls is None else _module.__get__(cls)

    def __set__(self, cls: Any, value: Any) -> None:
        _module.__set__(cls, value)


_HEAP_TYPE = 1 << 9
_module: Any = type.__dict__["__module__"]
_is_instance, _is_subclass = type.__instancecheck__, type.__subclasscheck__
_stock: dict[type, type] = {}


# So that a program's class may have abc.ABC or a Protocol beside one of these, it derives from their classes. It has no
# mro(): CPython 3.13 takes what has one for a class made by Python, and writes where a static type has no room.
class Shared(type(Protocol)):  # type: ignore[misc]
    """The class of public classes."""

    __module__ = _Module(__name__)

    def __new__(mcls, name: str, bases: tuple[type, ...], contents: dict[str, Any], /, **kwargs: Any) -> Any:
        return ABCMeta.__new__(mcls, name, bases, contents, **kwargs)  # that of Protocol refuses Generic beside others

    def __instancecheck__(cls, instance: Any) -> bool:
        if _is_instance(cls, instance):
            return True
        stock = _stock.get(cls)
        if stock is not None:
            return isinstance(instance, stock)
        return _is_a_programs(cls) and ABCMeta.__instancecheck__(cls, instance)

    def __subclasscheck__(cls, subclass: Any) -> bool:
        if _is_subclass(cls, subclass):
            return True
        stock = _stock.get(cls)
        if stock is not None:
            return issubclass(subclass, stock)
        return _is_a_programs(cls) and ABCMeta.__subclasscheck__(cls, subclass)


def _is_a_programs(cls: type) -> bool:
    """True for a class that a program derives: it may be an abc.ABC, with register() and a __subclasshook__()."""
    return "_abc_impl" in vars(cls) and not str(_module.__get__(cls)).startswith("hasten.")


def inheritable(stock: type) -> bool:
    """True for a class of Python's whose instances have nothing but a `__dict__`: it needs no room in ours."""
    return bool(stock.__flags__ & _HEAP_TYPE) and stock.__basicsize__ <= _Plain.__basicsize__


def order_with(order: Any, stock: type) -> list[type]:
    """The order of resolution of a class that inherits from asyncio's, behind all that it inherits already."""
    return [*(kind for kind in order if kind not in stock.__mro__), *stock.__mro__]


def bases_with(bases: tuple[type, ...], stock: type) -> tuple[type, ...]:
    """The bases that lead to that order."""
    return (*(base for base in bases if base is not object), stock)


def note(cls: type, stock: type) -> None:
    """Remember which class of asyncio's is the same as one of ours."""
    _stock[cls] = stock


def share(cls: Any, stock: type) -> None:
    """Have a class of Python's, whose class is Shared, stand for one of asyncio's."""
    note(cls, stock)
    if inheritable(stock):
        cls.__bases__ = (*cls.__bases__, stock)


def remade(cls: type) -> Any:
    """Return the same class with Shared as its class, and with a base, to which others can be added."""
    contents = {key: value for key, value in vars(cls).items() if key not in ("__dict__", "__weakref__")}
    made = Shared(cls.__name__, (_Plain,), contents)
    for value in contents.values():
        for function in (value, getattr(value, "__func__", None), getattr(value, "fget", None)):
            for cell in getattr(function, "__closure__", None) or ():
                if cell.cell_contents is cls:  # what super() goes by
                    cell.cell_contents = made
    return made
