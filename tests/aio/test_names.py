"""Every public name of Python 3.15's asyncio, on every Python; and those that only some Pythons have."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import subprocess
import sys
import types
import warnings

import pytest

import hasten
from hasten.aio import names, policies


def test_all_names_of_3_15():
    # Counted on Linux with 3.15: if a name is forgotten in the table, the number tells.
    expected = 95
    if not hasattr(socket, "AF_UNIX"):
        expected -= 2
    if sys.platform == "win32":
        expected += 2
    assert len(names.PUBLIC) == expected
    assert {*hasten.__all__} == {*names.PUBLIC, "Loop", "install", "uninstall"}
    if sys.version_info[:2] == (3, 15):
        assert {name for name in asyncio.__all__ if not name.endswith("Policy")} == set(names.PUBLIC)


@pytest.mark.parametrize("name", names.PUBLIC)
def test_name_comes_from_its_home(name):
    home = importlib.import_module(names.HOMES[name])
    assert getattr(hasten, name) is getattr(home, name)


@pytest.mark.parametrize("name", [name for name in names.PUBLIC if names.HOMES[name] != "asyncio"])
def test_own_names_stand_in_hastens_modules(name):
    thing = getattr(hasten, name)
    inherited = thing is getattr(asyncio, name, None)
    # what the running Python has complete already may be handed on
    assert inherited or thing.__module__.startswith("hasten."), thing.__module__


@pytest.mark.parametrize(
    "name", [name for name in names.PUBLIC if isinstance(getattr(asyncio, name, None), type) and name.endswith("Error")]
)
def test_exceptions_hold_for_both_packages(name):
    assert getattr(hasten, name) is getattr(asyncio, name)


@pytest.mark.parametrize("name", ["Transport", "Protocol", "BufferedProtocol", "AbstractEventLoop", "AbstractServer"])
def test_abstract_classes_hold_for_both_packages(name):
    assert getattr(hasten, name) is getattr(asyncio, name)


@pytest.mark.parametrize("name", ["StreamReader", "StreamWriter", "StreamReaderProtocol", "QueueShutDown"])
def test_derived_classes_are_asyncios_too(name):
    assert issubclass(getattr(hasten, name), getattr(asyncio, name, Exception))


def test_unknown_name():
    with pytest.raises(AttributeError, match="module 'hasten' has no attribute 'nonsense'"):
        _ = hasten.nonsense
    assert not hasattr(hasten, "windows_nonsense")


@pytest.mark.parametrize("name", sorted(names.SUBMODULES))
def test_submodules_have_our_names(name):
    try:
        stock = importlib.import_module(f"asyncio.{name}")
    except ImportError:
        with pytest.raises(AttributeError):
            getattr(hasten, name)
        return
    module = getattr(hasten, name)
    assert isinstance(module, types.ModuleType)
    assert getattr(hasten, name) is module
    for public in getattr(stock, "__all__", ()):
        if public in names.HOMES:
            assert getattr(module, public) is getattr(hasten, public)
        else:
            assert getattr(module, public) is getattr(stock, public)


@pytest.mark.parametrize("name", sorted({*names.SUBMODULES, "subprocess"}))
def test_submodules_can_be_imported_by_their_name(name):
    try:
        importlib.import_module(f"asyncio.{name}")
    except ImportError:
        with pytest.raises(ModuleNotFoundError, match=f"No module named 'hasten.{name}'"):
            importlib.import_module(f"hasten.{name}")
        return
    module = importlib.import_module(f"hasten.{name}")
    assert module is getattr(hasten, name)
    assert sys.modules[f"hasten.{name}"] is module
    assert importlib.util.find_spec(f"hasten.{name}") is not None


def test_submodules_are_imported_in_each_form():
    code = (
        "import hasten.subprocess\n"
        "from hasten.subprocess import PIPE, create_subprocess_exec\n"
        "from hasten.queues import Queue\n"
        "import hasten.events as events\n"
        "assert hasten.subprocess.PIPE == PIPE == -1\n"
        "assert create_subprocess_exec is hasten.create_subprocess_exec\n"
        "assert Queue is hasten.Queue\n"
        "assert events is hasten.events and events.get_running_loop is hasten.get_running_loop\n"
        "assert hasten.subprocess.__spec__.name == 'hasten.aio.subprocess'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["nonsense", "subprocess.nonsense", "events.nonsense"])
def test_other_modules_are_not_found(name):
    with pytest.raises(ModuleNotFoundError, match="nonsense"):
        importlib.import_module(f"hasten.{name}")


@pytest.mark.parametrize("name", [*policies.WATCHERS, *policies.POLICIES, *policies.WINDOWS_POLICIES])
def test_legacy_names_are_those_of_the_running_python(name):
    def ask(package):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                found = getattr(package, name)
            except AttributeError:
                found = None
        return found, [(w.category, str(w.message), w.filename) for w in caught]

    assert ask(hasten) == ask(asyncio)


def test_legacy_refuses_other_names():
    with pytest.raises(AttributeError):
        policies.legacy("Lock")
    with pytest.raises(AttributeError):
        names.submodule(hasten, "subprocess_nonsense")
