"""`hasten run`: an unmodified asyncio program, with hasten in asyncio's place."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Sequence

from hasten.cli import process, program
from hasten.cli.usage import UsageError
from hasten.core import report

HELP = """\
usage: hasten run [OPTIONS] PROGRAM.py ARGS…
       hasten run [OPTIONS] -m MODULE ARGS…
       hasten run [OPTIONS] -c CODE ARGS…
       hasten run [OPTIONS] - ARGS…     (the program comes from standard input)

Runs the program as python would: its arguments, __main__, exit status, Ctrl-C and tracebacks are the same. What it
imports from asyncio is hasten's, and the loops it makes are hasten's unless it asks for another kind by name, which
one line on stderr tells of (HASTEN_QUIET=1: none). Who asks for uvloop has hasten's too (HASTEN_UVLOOP=keep: uvloop).
All that follows the program belongs to the program. Options of the interpreter stand before hasten:
  python -X dev -m hasten run PROGRAM.py
Child processes that are forked, or that multiprocessing starts (the workers of uvicorn, hypercorn, granian…), are on
hasten too. Those that are started by a command line are ordinary pythons.

  --inspect       let `hasten ps`, `hasten dump` and `hasten top` look into the process (as HASTEN_INSPECT=1 does)
  --debug         asyncio's debug mode, as PYTHONASYNCIODEBUG=1 has it, also in child processes
  --trace FILE    record what the loops do, and write the latest events to FILE at the end: `hasten trace FILE` shows it
  --trace-on WHEN write them also at other times, beside FILE: WHEN is one or more of stall, error, signal (SIGUSR2: to
                  FILE itself), with commas between
"""


def main(words: Sequence[str]) -> int:
    """Run the program that `words`, the command line after `run`, names, and return 0 when it comes to its end.

    Whatever the program raises, SystemExit and KeyboardInterrupt included, goes up to the interpreter, which ends the
    process by its own rules; `sys.excepthook` is arranged so that the launcher's own frames are not shown.
    """
    if words and words[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0
    words, options = _options(words)
    chosen = _choose(words)
    if "--debug" in options:
        os.environ["PYTHONASYNCIODEBUG"] = "1"  # where asyncio's own functions, and children, look
        report.debug_asked = True
    process.begin("--inspect" in options)
    if "--trace" in options:
        _trace(options["--trace"], options.get("--trace-on", ""))
    try:
        program.execute(chosen)
    except (SystemExit, UsageError):
        raise
    except BaseException:
        _hide_launcher()
        raise
    return 0


def _options(words: Sequence[str]) -> tuple[Sequence[str], dict[str, str]]:
    """Tell the options of `run` itself, which stand first, with their values, from the program and its arguments."""
    at, found = 0, {}
    while at < len(words):
        option, equals, value = words[at].partition("=")
        if option in ("--inspect", "--debug") and not equals:
            found[option] = ""
        elif option == "--trace":
            if not equals:
                at += 1
                value = words[at] if at < len(words) else ""
            if not value:
                raise UsageError("run --trace needs a file: 'hasten run --trace FILE PROGRAM.py'")
            found[option] = _writable(value)
        elif option == "--trace-on":
            if not equals:
                at += 1
                value = words[at] if at < len(words) else ""
            found[option] = _moments(value)
        else:
            break
        at += 1
    if "--trace-on" in found and "--trace" not in found:
        raise UsageError("run --trace-on needs --trace: 'hasten run --trace FILE --trace-on stall PROGRAM.py'")
    return words[at:], found


def _moments(value: str) -> str:
    """Return when a trace is to be written, checked."""
    from hasten.diagnosis.trace import MOMENTS

    if not value or any(each not in MOMENTS for each in value.split(",")):
        raise UsageError(f"run --trace-on {value!r}: one or more of {', '.join(MOMENTS)}, with commas between")
    return value


def _writable(file: str) -> str:
    """Return the absolute path of a file that is written at the end: what is wrong with it is better told now."""
    folder = os.path.dirname(os.path.abspath(file))
    if not os.access(folder, os.W_OK):
        raise UsageError(f"the trace cannot be written to {file}: there is no folder {folder} to write to")
    return os.path.abspath(file)


def _trace(file: str, on: str) -> None:
    from hasten.diagnosis.trace import write_at_exit

    write_at_exit(file, on.split(","))


def _choose(words: Sequence[str]) -> program.Program:
    """Tell the program from its arguments; like python, `-mNAME` and `-cCODE` may be one word."""
    if not words:
        raise UsageError("run needs a program: 'hasten run PROGRAM.py', 'hasten run -m MODULE' or 'hasten run -c CODE'")
    first = words[0]
    for option, kind in (("-m", program.Module), ("-c", program.Code)):
        if first == option:
            if len(words) == 1:
                raise UsageError(f"run {option} needs an argument: 'hasten run {option} {kind.__name__.upper()}'")
            return kind(words[1], words[2:])
        if first.startswith(option):
            return kind(first[2:], words[1:])
    if first == "-":
        return program.Stdin("<stdin>", words[1:])
    if first.startswith("-"):
        raise UsageError(
            f"run has no option {first!r}: options of python stand before hasten, 'python {first} -m hasten run …', "
            "and those of the program after the program"
        )
    return program.File(first, words[1:])


def _hide_launcher() -> None:
    """Let the coming report of an uncaught exception begin with the program's own first frame.

    The exception is on its way to the interpreter, which calls `sys.excepthook` and then ends the process (by SIGINT
    after a KeyboardInterrupt, else with status 1), the program's own hook and python's `-i` included. Calling the hook
    here and leaving with a status would have to imitate all of that.
    """
    hook = sys.excepthook

    def report(kind: type[BaseException], value: BaseException, trace: types.TracebackType | None) -> None:
        trace = program.frames_of_program(trace)
        value.__traceback__ = sys.last_traceback = trace
        hook(kind, value, trace)

    sys.excepthook = report
