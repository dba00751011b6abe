"""What is written in C beside this file, compiled when it is first needed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "native"
FLAGS = ["-O2", "-Wall", "-Wextra"]


class NoCompiler(Exception):
    """The C programs cannot be built; the message says why and what to install."""


def cache_folder() -> Path:
    """Where built programs and certificates are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hasten-bench"


def program(name: str) -> str:
    """The path of the program built from native/NAME.c; a changed source is built anew.

    Raises NoCompiler when there is no compiler, or it refuses.
    """
    return _built(name, [], "")


def extension(name: str) -> str:
    """The path of the extension module for this interpreter, built from native/NAME.c. Raises NoCompiler."""
    flags = ["-shared", "-fPIC", "-Wno-missing-field-initializers", f"-I{sysconfig.get_path('include')}"]
    return _built(name, flags, sysconfig.get_config_var("EXT_SUFFIX"))


def _built(name: str, more: list[str], suffix: str) -> str:
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        raise NoCompiler(f"{name} is written in C and no compiler was found: install gcc, or set CC")
    source = SOURCES / f"{name}.c"
    flags = [*FLAGS, *more]
    mark = hashlib.sha256(" ".join([compiler, *flags]).encode())
    for file in (source, SOURCES / "tls.h"):
        mark.update(file.read_bytes())
    built = cache_folder() / f"{name}-{mark.hexdigest()[:16]}{suffix}"
    if not built.exists():
        built.parent.mkdir(parents=True, exist_ok=True)
        fresh = built.with_name(f"{built.name}.{os.getpid()}")
        done = subprocess.run(
            [*compiler.split(), *flags, "-o", str(fresh), str(source), "-ldl"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NoCompiler(f"{compiler} could not build {source.name}:\n{done.stderr[-2000:]}")
        fresh.rename(built)
    return str(built)
