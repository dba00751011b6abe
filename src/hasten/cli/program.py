"""The forms a program comes in (file, module, code, standard input) and running it as `__main__`.

Each form sets `sys.argv` and `sys.path[0]` as python does and executes the program in a fresh `__main__` module, so
that pickling, `multiprocessing`, dataclasses and whatever else looks into `sys.modules["__main__"]` finds the program.
"""

from __future__ import annotations

import builtins
import linecache
import os
import pkgutil
import runpy
import sys
import textwrap
import types
from collections.abc import Sequence
from importlib.machinery import BuiltinImporter, SourceFileLoader, SourcelessFileLoader
from typing import Any, cast

from hasten.cli.usage import UsageError


class Program:
    """A program that is known but not read yet: `target` names it, `args` are its own."""

    def __init__(self, target: str, args: Sequence[str]) -> None:
        self.target = target
        self.args = list(args)

    def run(self) -> None:
        """Execute the program in `sys.modules["__main__"]`; what it raises goes through."""
        raise NotImplementedError


class File(Program):
    """`program.py`, a compiled `program.pyc`, or a folder or zip file with a `__main__.py` in it."""

    def run(self) -> None:
        sys.argv = [self.target, *self.args]
        if pkgutil.get_importer(self.target) is not None:  # a folder or a zip file
            _set_path(os.path.abspath(self.target), always=True)
            runpy._run_module_as_main("__main__", False)  # type: ignore[attr-defined]
            return
        path = os.path.join(_current_folder(), self.target)  # as python has it: absolute, not normalised
        _set_path(os.path.dirname(os.path.realpath(path)))
        loader: SourceFileLoader | SourcelessFileLoader
        if path.endswith(".pyc"):
            loader = SourcelessFileLoader("__main__", path)
        else:
            loader = SourceFileLoader("__main__", path)
        try:
            data = loader.get_data(path)
        except OSError as error:
            raise UsageError(f"can't open file {path!r}: [Errno {error.errno}] {error.strerror}") from None
        module = _main_module(loader)
        module.__file__ = path
        if isinstance(loader, SourceFileLoader):
            # not get_code: python writes no cache of a main program
            exec(loader.source_to_code(data, path), module.__dict__)
        else:
            exec(cast(types.CodeType, loader.get_code("__main__")), module.__dict__)


class Module(Program):
    """`-m module`, found on `sys.path`; a package's `__main__`."""

    def run(self) -> None:
        sys.argv = ["-m", *self.args]  # until the module is found, as python has it
        _set_path(_current_folder())
        runpy._run_module_as_main(self.target)  # type: ignore[attr-defined]


class Code(Program):
    """`-c code`."""

    def run(self) -> None:
        sys.argv = ["-c", *self.args]
        _set_path("")
        source = textwrap.dedent(self.target) if sys.version_info >= (3, 14) else self.target
        # Pythons that show the lines of such code in tracebacks find them here, by code object or by name.
        register = getattr(linecache, "_register_code", None)
        code = compile(source, "<string>", "exec", dont_inherit=True)
        if register is not None:
            register(code if hasattr(linecache, "_interactive_cache") else "<string>", source, "<string>")
        exec(code, _main_module(BuiltinImporter).__dict__)


class Stdin(Program):
    """`-`: the program is read from standard input to its end."""

    def run(self) -> None:
        sys.argv = ["-", *self.args]
        _set_path("")
        code = compile(sys.stdin.read(), "<stdin>", "exec", dont_inherit=True)
        module = _main_module(BuiltinImporter)
        module.__file__ = "<stdin>"
        exec(code, module.__dict__)


def execute(program: Program) -> None:
    """Run `program` in a fresh `__main__`. Raises what it raises, and UsageError when its file cannot be read."""
    launcher = sys.modules["__main__"]
    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    # Which of these a main module has depends on the Python version: the launcher's own tells.
    if "__annotations__" in vars(launcher):
        main.__annotations__ = {}
    if "__cached__" in vars(launcher) and isinstance(program, (File, Stdin)):
        main.__dict__["__cached__"] = None
    sys.modules["__main__"] = main
    program.run()


def frames_of_program(trace: types.TracebackType | None) -> types.TracebackType | None:
    """Return `trace` without the frames of hasten's command and of what it uses to find and load a program.

    What is left begins with the program's own first frame; nothing is left of an error found in loading it, such as
    a SyntaxError, and `trace` is given back whole when it did not come through `execute`.
    """
    below = trace
    while below is not None and below.tb_frame.f_code is not execute.__code__:
        below = below.tb_next
    if below is None:
        return trace
    while below is not None and _is_launcher(below.tb_frame.f_code.co_filename):
        below = below.tb_next
    return below


_HERE = os.path.dirname(__file__) + os.sep


def _is_launcher(filename: str) -> bool:
    return filename.startswith((_HERE, "<frozen runpy>", "<frozen importlib")) or filename == runpy.__file__


def _main_module(loader: Any) -> types.ModuleType:
    """Return `__main__`, with the attributes that python gives to a program that is not found by import."""
    module = sys.modules["__main__"]
    module.__loader__ = loader
    module.__spec__ = None
    return module


def _current_folder() -> str:
    """The current folder; "", which the import system passes over, where that has been deleted."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


def _set_path(entry: str, *, always: bool = False) -> None:
    """Put `entry` in the place of the folder of the `hasten` command, where python has the program's folder.

    With `-P`, `-I` or PYTHONSAFEPATH python puts no such folder on the path at all, unless (`always`) the program
    itself is imported from it.
    """
    if not sys.flags.safe_path:
        sys.path[0] = entry
    elif always:
        sys.path.insert(0, entry)
