"""What `hasten ps`, `dump` and `top` have in common: their command lines, and how places and processes are shown."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hasten.cli import usage
from hasten.cli.usage import UsageError
from hasten.diagnosis import asking, processes, showing

TIMEOUT = 3.0
OPTIONS = f"""\
  --json         the same as one JSON object
  --timeout S    how long the process may take to answer, in seconds (default: {TIMEOUT:g})
"""
NOTE = """\
PID is a process of the same user that can be looked into: one that was started by `hasten run --inspect` or with
HASTEN_INSPECT=1, or that has called hasten.inspect(). It answers also while its loop is stuck, in Python code or in a C
call that has released the interpreter's lock. If it does not answer, what the kernel knows of its threads is shown.

The exit status is 0, or 1 if the process cannot be asked: one line says why.
"""
plain = showing.plain


@dataclass
class Asked:
    """A command line that has been understood."""

    pid: int
    json: bool = False
    timeout: float = TIMEOUT
    seconds: float | None = None  # of --for
    flags: frozenset[str] = frozenset()


def understand(verb: str, words: Sequence[str], flags: Sequence[str] = ()) -> Asked:
    """Return what the words after the verb say. Raises UsageError."""
    asked = Asked(0)
    found: set[str] = set()
    rest = list(words)
    pid: int | None = None
    while rest:
        word = rest.pop(0)
        if word == "--json":
            asked.json = True
        elif word == "--timeout" or word.startswith("--timeout="):
            value = word.partition("=")[2] if "=" in word else (rest.pop(0) if rest else "")
            asked.timeout = _seconds(verb, "--timeout", value)
        elif "--for" in flags and (word == "--for" or word.startswith("--for=")):
            value = word.partition("=")[2] if "=" in word else (rest.pop(0) if rest else "")
            asked.seconds = _seconds(verb, "--for", value)
        elif word in flags:
            found.add(word)
        elif word.startswith("-"):
            raise UsageError(f"{verb} has no option {word!r}: see 'hasten {verb} --help'")
        elif pid is not None:
            raise UsageError(f"{verb} looks into one process: what is {word!r}?")
        else:
            pid = _number(verb, word)
    if pid is None:
        raise UsageError(f"{verb} needs the number of a process: 'hasten {verb} PID'")
    asked.pid, asked.flags = pid, frozenset(found)
    return asked


def _number(verb: str, word: str) -> int:
    if not (word.isascii() and word.isdecimal()) or int(word) == 0:
        raise UsageError(f"{word!r} is not the number of a process: 'hasten {verb} PID'")
    return int(word)


def _seconds(verb: str, option: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise UsageError(f"{verb} {option} needs a number of seconds above 0, not {value!r}")
    return seconds


def tell(error: asking.Unreachable, asked: Asked) -> int:
    """Print why a process cannot be asked, and of one that does not answer what the kernel knows; return 1."""
    usage.tell(f"hasten: {plain(str(error))}")
    if isinstance(error, asking.NoAnswer):
        for thread in processes.threads(asked.pid):
            letter = thread["state"]
            what = processes.STATES.get(letter, letter)
            where = f" in {thread['call']}" if thread["call"] and letter != "R" else ""
            share = f"{thread['processor']:.0%} of a processor"
            usage.tell(f"  thread {thread['id']} ({plain(thread['name'])}) {what}{where}, {share}")
    return 1


def headline(answer: dict[str, Any], pid: int) -> str:
    """Return the line that says which process it is."""
    process = answer["process"]
    command = plain(processes.command(pid)) or "(its command line is not known)"
    return f"process {pid}: {command}\nhasten {plain(process['hasten'])}, Python {plain(process['python'])}"


class Paths:
    """Shows file names as short as they can be told apart: below the process's own folder, of a package, of Python."""

    def __init__(self, pid: int) -> None:
        try:
            self._folder = os.readlink(f"/proc/{pid}/cwd").rstrip("/") + "/"
        except OSError:
            self._folder = ""

    def short(self, path: str) -> str:
        if len(self._folder) > 1 and path.startswith(self._folder):
            return plain(path[len(self._folder) :])
        found = re.search(r"/(?:site|dist)-packages/(.+)", path) or re.search(r"/lib/python3\.\d+t?/(.+)", path)
        return plain(found[1] if found else path)

    def place(self, place: Sequence[Any] | None) -> str:
        """Return `file:line`, or nothing."""
        return "" if not place else f"{self.short(place[0])}:{place[1]}" if place[0] else plain(place[2])
