"""The error of a command line that cannot be understood."""

from __future__ import annotations


class UsageError(Exception):
    """The command line is wrong; the text says how, and what to write instead. The command ends with status 2."""
