"""Every public name, and every public method of a public class, says at run time what it takes and what it does."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import pydoc
from pathlib import Path

import pytest

import hasten
from hasten import compat
from hasten.aio import names

OWN = sorted({name for name, home in names.HOMES.items() if home != "asyncio"} | set(names.COMPANIONS) | {"Loop"})
OTHERS = {"install", "uninstall"}
POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
CLASSES = [name for name in OWN if isinstance(getattr(hasten, name), type)]
FUNCTIONS = [name for name in [*OWN, *sorted(OTHERS)] if not isinstance(getattr(hasten, name), type)]


def inner_names():
    """What is not there when compiled, since the .pxd gives it to C: no public method of an uncompiled class either."""
    if compat.compiled():
        return frozenset()
    spec = importlib.util.spec_from_file_location(
        "hasten_test_stubs", Path(__file__).parents[1] / "typing" / "stubs.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return frozenset(module.given_to_c())


INNER = inner_names()


def methods():
    for name in CLASSES:
        cls = getattr(hasten, name)
        for method in dir(cls):
            if method.startswith("_") or issubclass(cls, BaseException):
                continue
            if not any(f"{base.__module__}.{base.__name__}.{method}" in INNER for base in cls.__mro__):
                yield name, method


def found(name, method):
    cls = getattr(hasten, name)
    for kind in cls.__mro__:
        if method in vars(kind):
            return vars(kind)[method]
    raise AssertionError(method)


def unwrapped(thing):
    return thing.__func__ if isinstance(thing, (staticmethod, classmethod)) else thing


def is_data(thing):
    return isinstance(thing, property) or inspect.isdatadescriptor(thing) or not callable(thing)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_a_signature_and_a_docstring(name):
    function = getattr(hasten, name)
    assert inspect.getdoc(function)
    assert inspect.signature(function).parameters is not None
    assert function.__name__ in pydoc.plain(pydoc.render_doc(function))


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_has_a_signature_and_a_docstring(name):
    cls = getattr(hasten, name)
    assert cls.__doc__ or not cls.__module__.startswith("hasten.")  # asyncio's own StreamReader says nothing
    if not issubclass(cls, BaseException):
        assert "self" not in inspect.signature(cls).parameters
        assert "args" not in inspect.signature(cls).parameters or name in ("Handle", "TimerHandle"), inspect.signature(
            cls
        )
    assert cls.__name__ in pydoc.render_doc(cls)


@pytest.mark.parametrize(("name", "method"), list(methods()))
def test_a_method_has_a_signature_and_a_docstring(name, method):
    if is_data(unwrapped(found(name, method))):
        return
    function = getattr(getattr(hasten, name), method)
    home = next(cls for cls in getattr(hasten, name).__mro__ if method in vars(cls))
    if home.__module__.startswith("hasten."):
        assert inspect.getdoc(function), f"{name}.{method}"
    parameters = list(inspect.signature(function).parameters.values())
    assert parameters, f"{name}.{method}"


def positional(signature):
    names = [each.name for each in signature.parameters.values() if each.kind in (each.POSITIONAL_ONLY, POSITIONAL)]
    return names[1:] if names[:1] in (["self"], ["loop"]) else names


def same_places(ours, stock):
    """Whether what is given by its place is the same parameter, and what is left out has the same default."""
    mine, theirs = positional(ours), positional(stock)
    defaults = {each.name: each.default for each in stock.parameters.values() if each.name in ours.parameters}
    return mine[: len(theirs)] == theirs and all(
        ours.parameters[name].default == default for name, default in defaults.items()
    )


def accepts(ours, stock):
    """Whether what can be called as `stock` can be called as `ours`: no name of a keyword is missing."""
    mine = ours.parameters.values()
    if not same_places(ours, stock):
        return False
    if any(each.kind is each.VAR_KEYWORD for each in mine):
        return True
    named = {each.name for each in mine if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)}
    wanted = {
        each.name
        for each in stock.parameters.values()
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY) and each.name != "self"
    }
    return wanted <= named


@pytest.mark.parametrize("name", [name for name in OWN if hasattr(asyncio, name)])
def test_a_name_takes_the_keywords_that_asyncios_takes(name):
    try:
        stock = inspect.signature(getattr(asyncio, name))
    except ValueError:  # of C, without a signature
        return
    if name == "EventLoop":  # asyncio's takes a selector
        return
    assert accepts(inspect.signature(getattr(hasten, name)), stock), name


@pytest.mark.parametrize(("name", "method"), list(methods()))
def test_a_method_takes_the_keywords_that_asyncios_takes(name, method):
    stock = ["SelectorEventLoop"] if name in ("EventLoop", "Loop") else [name]
    wanted = []
    for each in stock:
        theirs = getattr(getattr(asyncio, each, None), method, None)
        if callable(theirs):
            try:
                wanted.append(inspect.signature(theirs))
            except ValueError:  # of C, without a signature
                pass
    ours = inspect.signature(getattr(getattr(hasten, name), method)) if wanted else None
    assert not wanted or any(accepts(ours, each) for each in wanted), f"{name}.{method}"
