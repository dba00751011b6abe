"""The `hasten` command line: which verb, and the options that stand before one."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from hasten.cli.usage import UsageError

# Each verb is a module of this package, imported when it is asked for: what one needs, the others do not pay for.
VERBS = {
    "run": "run a program with hasten in asyncio's place",
    "ps": "show the tasks of a process as a tree",
    "dump": "show the stacks of all threads and tasks of a process",
    "top": "watch a process: its loops, what keeps them busy, what waits longest",
    "trace": "show a recording: one HTML file, or one for Perfetto",
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
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the `hasten` command and return its exit status; what a program under `hasten run` raises passes through.

    `argv` are the arguments after the command's name; `sys.argv[1:]` when it is None.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(words)
    except UsageError as error:
        print(f"hasten: {error}", file=sys.stderr)
        return 2


def _dispatch(words: list[str]) -> int:
    if not words:
        raise UsageError(f"a verb is missing: one of {', '.join(VERBS)}; see 'hasten --help'")
    first, rest = words[0], words[1:]
    if first in ("-h", "--help"):
        print(HELP, end="")
        return 0
    if first in ("-V", "--version"):
        print(f"hasten {_version()}")
        return 0
    if first not in VERBS:
        raise UsageError(f"there is no verb {first!r}: it is one of {', '.join(VERBS)} ('hasten run PROGRAM.py')")
    verb = importlib.import_module(f"hasten.cli.{first}").main
    if first == "run":  # what the program meets with is the program's
        return verb(rest)  # type: ignore[no-any-return]
    try:
        status: int = verb(rest)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # `hasten ps PID | head`: what was not read is not wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 0


def _version() -> str:
    """The installed distribution's version; imported late, since metadata costs more than the rest of the command."""
    from importlib import metadata

    try:
        return metadata.version("hasten")
    except metadata.PackageNotFoundError:
        return "(not installed as a distribution)"
