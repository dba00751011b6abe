"""The error of a command line that cannot be understood."""

from __future__ import annotations

import contextlib
import sys


class UsageError(Exception):
    """The command line is wrong; the text says how, and what to write instead. The command ends with status 2."""


def tell(line: str) -> None:
    """Write a line to stderr, if there is one that can be written to: the exit status says the rest."""
    if sys.stderr is not None:  # print() would take stdout then
        with contextlib.suppress(Exception):
            print(line, file=sys.stderr, flush=True)
