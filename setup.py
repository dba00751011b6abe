"""Builds the compiled layers: `.py` + `.pxd` modules and `.pyx` leaves, in parallel.

HASTEN_NO_EXTENSIONS=1 leaves everything in plain Python (slower, same behaviour).
HASTEN_SANITIZE=1 builds with AddressSanitizer and UndefinedBehaviorSanitizer.
HASTEN_JOBS=4 compiles four extensions at once; else as many as there are processors.
HASTEN_FRAMES=1 has compiled functions show in tracebacks (with paths relative to the checkout), to look for mistakes.
"""

import gzip
import os
import re
import shutil
import sys
import sysconfig
import tarfile
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

PACKAGE = Path(__file__).resolve().parent / "src" / "hasten"
# What a `.pxd` declares that has C code of its own: a class, or a function that is not a header's.
CODE = re.compile(r"^cdef class|^cp?def [^#\n]*\(", re.MULTILINE)
ELSEWHERE = set() if sys.platform == "linux" else {"epoll"}  # names of modules that need another system


def compiled(package: Path = PACKAGE) -> list[str]:
    """The sources that are compiled, relative to `package`: each beside a `.pxd` that declares C code.

    A `.pyx` is a leaf: it hides pointers and CPython's slots, and has a plain Python twin of the same name. Any other
    module is ordinary typed Python. A `.pxd` of nothing but constants, or of a header's functions, only serves others.
    """
    sources = []
    for pxd in sorted(package.rglob("*.pxd")):
        if CODE.search(pxd.read_text(encoding="utf-8")) and pxd.stem not in ELSEWHERE:
            leaf = pxd.with_suffix(".pyx")
            sources.append(leaf if leaf.is_file() else pxd.with_suffix(".py"))
    return [source.relative_to(package).as_posix() for source in sources]


DIRECTIVES = {
    "language_level": 3,
    "annotation_typing": False,
    "auto_pickle": False,
    "boundscheck": False,
    "wraparound": True,
    "initializedcheck": False,
    "cdivision": True,
    # What a destructor raises is given to sys.unraisablehook, as everywhere. Cython's default prints it first by
    # PyErr_PrintEx(), which ends the process where it is a SystemExit.
    "unraisable_tracebacks": False,
    "embedsignature": True,  # for inspect.signature(); not shown in __doc__
    "embedsignature.format": "clinic",
    "binding": False,
}


def jobs() -> int:
    """The number of processes to compile with: HASTEN_JOBS, or as many as there are processors for this one."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(os.environ.get("HASTEN_JOBS") or allowed)


def flags() -> tuple[list[str], list[str]]:
    """Compiler and linker flags."""
    if os.name == "nt":
        return [], []
    # No module uses all of Cython's helpers and of the headers': some 180 warnings, in which one that matters is lost.
    forced = ["-include", "rooms.h", "-Wno-unused-function"]
    if os.environ.get("HASTEN_SANITIZE"):
        san = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]
        return [*forced, "-O1", "-g", "-fno-strict-aliasing", "-fwrapv", *san], san
    # -O1 and some of what -O2 adds compile in 60 % of the time, and cost 1 to 3 % of the instructions of a task's step.
    optimized = ["-O2", "-g0", "-fno-strict-aliasing", "-fwrapv", "-fno-semantic-interposition", "-fvisibility=hidden"]
    # A function that begins in the middle of a cache line, or not, made up to 20 % in some workloads, by chance.
    optimized.append("-falign-functions=64")
    if sys.platform == "linux":
        optimized.append("-fno-plt")  # what is called in the interpreter is called without a detour
    return [*forced, *optimized], []


# Where a compiled `except` begins, Cython keeps what is being handled, to put it back where the `except` ends. It keeps
# the exception of the nearest frame that handles one, and puts it into the frame of whoever called us. There it stays,
# so that a coroutine which has called lock.release() may find itself handling an exception of its caller's. The
# interpreter's own `except` keeps what its own frame handles, if only that is nothing.
SAVE = "void __Pyx__ExceptionSave(PyThreadState *tstate, PyObject **type, PyObject **value, PyObject **tb) {"
NEAREST = "_PyErr_StackItem *exc_info = __Pyx_PyErr_GetTopmostException(tstate);"
OWN = "_PyErr_StackItem *exc_info = ((void)__Pyx_PyErr_GetTopmostException, tstate->exc_info);"


def function(generated: str, head: str) -> tuple[str, str, str]:
    """Generated C up to the end of `head`, the body of the function that it begins, and the rest."""
    before, _, rest = generated.partition(head)
    body, end, after = rest.partition("\n}\n")
    return before + head, body, end + after


def mend_except(generated: str) -> str:
    """Has each compiled `except` of a generated C file put back what its own frame handled. Done already: no change."""
    if "__Pyx__ExceptionSave(" not in generated:
        return generated
    before, body, after = function(generated, SAVE)
    if NEAREST not in body and OWN not in body:
        raise SystemExit("setup.py: this Cython keeps the handled exception in another way: look at mend_except()")
    return before + body.replace(NEAREST, OWN) + after


# An exception that a compiled `except` catches has a traceback, Cython assumes: its own function has just added one. If
# there was no memory for that there is none, and what is let go of at the end of the `except` is a null pointer. So
# None stands for it. Python 3.11 keeps the traceback beside the exception: what is raised again there has none.
CATCH = "__Pyx__GetException(PyThreadState *tstate, PyObject **type, PyObject **value, PyObject **tb)\n#else"
COUNTED = "    Py_XINCREF(local_tb);\n"
NONE = "    if (local_tb == NULL) local_tb = Py_NewRef(Py_None);\n"
RESTORE = "__Pyx_ErrRestoreInState(PyThreadState *tstate, PyObject *type, PyObject *value, PyObject *tb) {"
KEPT = "    tmp_tb = tstate->curexc_traceback;\n"
NO_TRACEBACK = "    if (tb == Py_None) { Py_DECREF(tb); tb = NULL; }\n"


def mend_traceback(generated: str) -> str:
    """Has None stand for the traceback that an exception lacks. Done already: no change."""
    if CATCH not in generated:
        return generated
    for head, place, added in ((CATCH, COUNTED, NONE), (RESTORE, KEPT, NO_TRACEBACK)):
        before, body, after = function(generated, head)
        if place not in body:
            raise SystemExit("setup.py: this Cython catches exceptions in another way: look at mend_traceback()")
        generated = before + body.replace(added, "").replace(place, added + place) + after
    return generated


# An exception that leaves a compiled function, or is caught there, would get an entry in its traceback, as if the
# function were one of Python's. asyncio's C has none, and ours would be of no use to those who read tracebacks: the
# code objects that Cython makes name the source relative to where it was compiled, so that debuggers and error
# collectors find no file, or take it for one of the program's; and there would be several where asyncio has one. So
# there are none, which is also faster. HASTEN_FRAMES=1 builds with them, to see where in compiled code an exception
# comes from. There, if there is no memory for an entry, a MemoryError would take the exception's place: a
# KeyboardInterrupt is lost, and an `except KeyError` is given something else. A traceback that lacks an entry is the
# lesser loss.
ENTRY = """static void __Pyx_AddTraceback(const char *funcname, int c_line,
                               int py_line, const char *filename) {
    PyCodeObject *py_code = 0;
"""
NO_CODE = """            Py_XDECREF(ptype);
            Py_XDECREF(pvalue);
            Py_XDECREF(ptraceback);
            goto bad;
"""
CODE_LEFT_OUT = """            __Pyx_ErrRestoreInState(tstate, ptype, pvalue, ptraceback);
            goto bad;
"""
NO_ENTRY = """
#else
    (void)funcname; (void)c_line; (void)py_line; (void)filename;
    (void)__Pyx_CreateCodeObjectForTraceback;
#endif"""
FRAME = "    py_frame = PyFrame_New(\n"
SET_ASIDE = "    __Pyx_ErrFetchInState(tstate, &ptype, &pvalue, &ptraceback);\n"
NO_FRAME = """    if (!py_frame) goto bad;
    __Pyx_PyFrame_SetLineNumber(py_frame, py_line);
    PyTraceBack_Here(py_frame);
"""
FRAME_LEFT_OUT = """    Py_XINCREF(ptype); Py_XINCREF(pvalue); Py_XINCREF(ptraceback);
    __Pyx_ErrRestoreInState(tstate, ptype, pvalue, ptraceback);
    if (py_frame) __Pyx_PyFrame_SetLineNumber(py_frame, py_line);
    if (py_frame && PyTraceBack_Here(py_frame) < 0) __Pyx_ErrRestoreInState(tstate, ptype, pvalue, ptraceback);
    else { Py_XDECREF(ptype); Py_XDECREF(pvalue); Py_XDECREF(ptraceback); }
"""


def mend_entry(generated: str) -> str:
    """Has tracebacks get no entries of compiled code, or (HASTEN_FRAMES) only if there is memory. Done: no change."""
    if ENTRY not in generated:
        return generated
    before, body, after = function(generated, ENTRY)
    if SET_ASIDE + FRAME not in body:  # a file that an older setup.py has mended lacks the rest only
        for found, instead in ((NO_CODE, CODE_LEFT_OUT), (FRAME, SET_ASIDE + FRAME), (NO_FRAME, FRAME_LEFT_OUT)):
            if body.count(found) != 1:
                raise SystemExit("setup.py: this Cython adds to tracebacks in another way: look at mend_entry()")
            body = body.replace(found, instead)
    head = ENTRY.replace("{\n", "{\n#ifdef HASTEN_FRAMES\n")
    return before.removesuffix(ENTRY) + head + body + NO_ENTRY + after


# A constructor, or `__init__()`, that is called with keywords has their values put into an array. If there is no memory
# for the tuple of their names, what is let go of is whatever stands in that array, before anything was put there: some
# object of others' that was on the stack is freed too early, and the crash comes anywhere later.
SLOT = "__Pyx_CallSlotAsVectorcallUnpackDict("
UNSET = "    PyObject *kwnames = NULL;\n    int unpack_dict_result;\n"
EMPTY = "    memset(args, 0, (size_t)total_size * sizeof(PyObject *));\n"


def mend_keywords(generated: str) -> str:
    """Has the array for the values of keywords be empty at first. Done already: no change."""
    if SLOT not in generated:
        return generated
    if UNSET not in generated:
        raise SystemExit("setup.py: this Cython calls constructors in another way: look at mend_keywords()")
    return generated.replace(EMPTY, "").replace(UNSET, EMPTY + UNSET)


# What a comprehension puts into its list is let go of when there is no memory for it in the list, and then once more by
# the function that ends with the error: an object that is still in use is freed, and the crash comes anywhere later.
APPEND = "static CYTHON_INLINE int __Pyx_ListComp_AppendAndDecref(PyObject* list, PyObject* x) {"
LET_GO = "    int result = PyList_Append(list, x);\n    Py_DECREF(x);\n"
LET_GO_ONCE = "    int result = PyList_Append(list, x);\n    if (likely(result == 0)) Py_DECREF(x);\n"


def mend_comprehension(generated: str) -> str:
    """Has a comprehension let go of what does not fit into its list once. Done already: no change."""
    if APPEND not in generated:
        return generated
    if LET_GO not in generated and LET_GO_ONCE not in generated:
        raise SystemExit("setup.py: this Cython makes lists in another way: look at mend_comprehension()")
    return generated.replace(LET_GO, LET_GO_ONCE)


def mended(generated: str) -> str:
    for step in (mend_except, mend_traceback, mend_entry, mend_keywords, mend_comprehension):
        generated = step(generated)
    return generated


def mend(ext: Extension) -> Extension:
    for source in ext.sources:
        path = Path(source)
        before = path.read_text(encoding="utf-8")
        after = mended(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
    return ext


def extensions() -> list[Extension]:
    if os.environ.get("HASTEN_NO_EXTENSIONS") or sys.implementation.name != "cpython" or os.name == "nt":
        return []
    from Cython.Build import cythonize

    compile_args, link_args = flags()
    sanitized = bool(os.environ.get("HASTEN_SANITIZE"))
    macros: list[tuple[str, str | None]] = [("CYTHON_CLINE_IN_TRACEBACK", "0")]
    if not sanitized:
        macros.append(("NDEBUG", None))
    if os.environ.get("HASTEN_FRAMES"):
        macros.append(("HASTEN_FRAMES", None))
    headers = [str(p) for p in sorted(Path("src/hasten/kernel").glob("*.h"))]
    exts = [
        Extension(
            "hasten." + source.rsplit(".", 1)[0].replace("/", "."),
            [f"src/hasten/{source}"],
            include_dirs=["src/hasten/kernel"],
            depends=headers,
            extra_compile_args=compile_args,
            extra_link_args=link_args,
            define_macros=macros,
        )
        for source in compiled()
    ]
    tag = f"{sys.implementation.cache_tag}-{sysconfig.get_platform()}" + ("-san" if sanitized else "")
    exts = cythonize(
        exts,
        include_path=["src"],
        build_dir=f"build/cython-{tag}",
        compiler_directives=DIRECTIVES,
        nthreads=0 if os.name == "nt" else jobs(),
        show_all_warnings=False,
    )
    return [mend(ext) for ext in exts]


WITHOUT = """\
hasten: {missing} not found, and it is needed to compile. There are two ways:
  install a C compiler and Python's headers (Debian, Ubuntu: apt install gcc python3-dev; Fedora: dnf install gcc
  python3-devel; Alpine: apk add gcc musl-dev python3-dev), and try again;
  or set HASTEN_NO_EXTENSIONS=1 and try again: nothing is compiled, hasten behaves the same and is several times slower.
"""


def find_tools(compiler: str, folders: list[str]) -> None:
    """Look for what every extension needs, before sixty of them fail.

    Arguments:
        compiler: the command's name.
        folders: where the interpreter's headers may be.

    Raises:
        SystemExit: the compiler, or the headers, are not there.
    """
    if shutil.which(compiler) is None:
        raise SystemExit("\n" + WITHOUT.format(missing=f"the C compiler {compiler!r} is"))
    elsewhere = any(os.environ.get(name) for name in ("CPATH", "C_INCLUDE_PATH", "CFLAGS", "CPPFLAGS"))
    if not elsewhere and not any(Path(folder, "Python.h").is_file() for folder in folders):
        raise SystemExit("\n" + WITHOUT.format(missing=f"Python.h (it would be in {folders[-1]}) is"))


class ParallelBuild(build_ext):
    """Compiles as many extensions at once as there are processors, unless -j says otherwise, and tells of it."""

    done = 0

    def finalize_options(self) -> None:
        super().finalize_options()
        if not self.parallel:
            self.parallel = jobs()

    def build_extensions(self) -> None:
        if command := getattr(self.compiler, "compiler_so", None):
            find_tools(command[0], [*self.compiler.include_dirs, sysconfig.get_paths()["include"]])
        # the largest first, so that no processor waits for one that was begun last
        self.extensions.sort(key=lambda ext: -sum(os.path.getsize(source) for source in ext.sources))
        super().build_extensions()

    def build_extension(self, ext: Extension) -> None:
        result = Path(self.get_ext_fullpath(ext.name))
        before = result.stat().st_mtime_ns if result.exists() else 0
        super().build_extension(ext)
        self.done += 1  # of several threads, which have the interpreter's lock
        if result.exists() and result.stat().st_mtime_ns != before:
            print(f"hasten: {self.done} of {len(self.extensions)} compiled: {ext.name}", flush=True)


EPOCH = 315532800  # 1980, before which a zip file has no times


class SameSdist(sdist):
    """Makes the same archive, byte for byte, of the same files: whoever doubts one can make it again and compare.

    setuptools' own has the times of the files and of the making, and who made it. Here all files have one time: that of
    SOURCE_DATE_EPOCH (seconds), or 1980.
    """

    def make_archive(self, base_name: str, format: str, root_dir: Any = None, base_dir: Any = None, **more: Any) -> str:
        if format != "gztar":
            return str(super().make_archive(base_name, format, root_dir, base_dir, **more))
        moment = int(os.environ.get("SOURCE_DATE_EPOCH", EPOCH))
        archive = Path(f"{base_name}.tar.gz")
        archive.parent.mkdir(parents=True, exist_ok=True)
        with (
            archive.open("wb") as raw,
            gzip.GzipFile("", "wb", 9, raw, moment) as packed,
            tarfile.open(mode="w", fileobj=packed, format=tarfile.PAX_FORMAT) as tar,
        ):
            for path in sorted(each for each in Path(base_dir).rglob("*") if each.is_file()):
                entry = tarfile.TarInfo(path.as_posix())
                entry.size, entry.mtime = path.stat().st_size, moment
                entry.mode = 0o755 if os.access(path, os.X_OK) else 0o644
                with path.open("rb") as file:
                    tar.addfile(entry, file)
        return str(archive)


if __name__ == "__main__":
    setup(ext_modules=extensions(), cmdclass={"build_ext": ParallelBuild, "sdist": SameSdist})
