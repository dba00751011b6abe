"""The `hasten` command line: which verb, and the options that stand before one."""

from __future__ import annotations

import difflib
import errno
import importlib
import io
import os
import shlex
import sys
from collections.abc import Sequence

from hasten.cli.usage import UsageError, tell

# Each verb is a module of this package, imported when it is asked for: what one needs, the others do not pay for.
VERBS = {
    "run": "run a program with hasten in asyncio's place",
    "ps": "show the tasks of a process as a tree",
    "dump": "show the stacks of all threads and tasks of a process",
    "top": "watch a process: its loops, what keeps them busy, what waits longest",
    "trace": "show a recording: one HTML file, or one for Perfetto",
    "jupyter": "make a kernel for notebooks whose loop is hasten's",
    "doctor": "tell how hasten works on this machine, and what stands in its way",
}

HELP = f"""\
usage: hasten VERB …
       hasten --help | --version

asyncio programs on hasten's own event loop, tasks and sockets.

verbs:
{chr(10).join(f"  {verb:<7} {summary}" for verb, summary in VERBS.items())}

`hasten VERB --help` tells more. `python -m hasten` is the same command; options of the interpreter stand before it:
  python -X dev -m hasten run program.py

environment variables, of any program on hasten:
  HASTEN_POLLER=selectors  the standard library's selectors in the place of epoll
  HASTEN_INSPECT=1         let `hasten ps`, `dump` and `top` look into the process
  HASTEN_WATCH=1           tell of blocked loops, deadlocks, what was forgotten, as `hasten run` does; 0: not even there
  HASTEN_ORIGINS=1         with these: where a forgotten coroutine was made
  HASTEN_UVLOOP=keep       `hasten run` leaves uvloop to those who ask for it
  HASTEN_QUIET=1           `hasten run` does not tell which other loop runs
  HASTEN_BATCH_WRITES=0    send what is written at once, and not when the tasks that are ready have run
  PYTHONASYNCIODEBUG=1     asyncio's debug mode (`hasten run --debug`)

documentation: README.md and the folder docs/ of the source, which `pip download --no-binary hasten hasten` gets;
  docs/mistakes explains errors, docs/diagnosis these verbs, docs/divergences.md what differs from asyncio
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the `hasten` command and return its exit status; what a program under `hasten run` raises passes through.

    `argv` are the arguments after the command's name; `sys.argv[1:]` when it is None.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(words)
    except UsageError as error:
        tell(f"hasten: {error}")
        return 2


def _dispatch(words: list[str]) -> int:
    first, rest = (words[0], words[1:]) if words else ("--help", [])
    if first == "run":  # what the program meets with is the program's
        return importlib.import_module("hasten.cli.run").main(rest)  # type: ignore[no-any-return]
    if sys.stdout is None:
        sys.stdout = _Closed()
    _write_any_letter()
    try:
        status = _answer(first, rest, words)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # `hasten ps PID | head`: what was not read is not wanted
        _drop_output()
        return 0
    except OSError as error:  # a full disk, most likely
        tell(f"hasten: {error.filename or 'the output cannot be written'}: {error.strerror or error}")
        _drop_output()
        return 1


def _answer(first: str, rest: list[str], words: list[str]) -> int:
    if first in ("-h", "--help"):
        print(HELP, end="")
        return 0
    if first in ("-V", "--version"):
        print(f"hasten {_version()}")
        return 0
    if first not in VERBS:
        raise UsageError(f"there is no verb {first!r}: {_meant(words)}")
    status: int = importlib.import_module(f"hasten.cli.{first}").main(rest)
    return status


class _Closed(io.TextIOBase):
    """What stands for a standard output that is not there: to lose what was asked for is an error."""

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, "there is no standard output")


def _write_any_letter() -> None:
    """Have letters that stdout's encoding does not know written as escapes: they may be in anybody's names."""
    if getattr(sys.stdout, "errors", "") in ("strict", "surrogateescape"):
        reconfigure = getattr(sys.stdout, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Have what is left in stdout's buffer go nowhere, for the flush at exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # no file of the system's: somebody else's object
        pass


def _meant(words: list[str]) -> str:
    """Say what a command line that begins with no verb was probably meant to be."""
    first = words[0]
    if first[:2] in ("-m", "-c") or first.endswith((".py", ".pyc", ".pyz")) or os.path.exists(first):
        return f'did you mean "hasten run {shlex.join(words)}"?'
    close = difflib.get_close_matches(first, VERBS, 1)
    if close:
        return f'did you mean "hasten {shlex.join([*close, *words[1:]])}"?'
    return f"it is one of {', '.join(VERBS)} ('hasten run PROGRAM.py' runs a program)"


def _version() -> str:
    """The installed distribution's version; imported late, since metadata costs more than the rest of the command."""
    from importlib import metadata

    try:
        return metadata.version("hasten")
    except metadata.PackageNotFoundError:
        return "(not installed as a distribution)"
