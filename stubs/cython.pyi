# What the sources use of the `cython` module, as a type checker has to see it.
from collections.abc import Callable
from typing import Any, TypeVar

_T = TypeVar("_T")
_Class = TypeVar("_Class", bound=type)

compiled: bool

def cclass(cls: _Class, /) -> _Class: ...
def cast(kind: type[_T], value: Any, /) -> _T: ...
def binding(on: bool, /) -> Callable[[_T], _T]: ...
