"""Companions that an environment variable or debug mode switches on.

They stand on a floor above, so they are only named here, and imported when the first loop begins to run: a process that
runs none (a supervisor, a command) pays for nothing. Each module has a `begin(loop)`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module

from hasten.core import attending

BY_VARIABLE = {"HASTEN_INSPECT": "hasten.diagnosis.inspecting", "HASTEN_WATCH": "hasten.diagnosis.by_default"}
_ANY_VALUE = ("HASTEN_WATCH",)  # also a number: a threshold in seconds


def _begin(home: str, loop: object) -> None:
    import_module(home).begin(loop)


def asked_for(variables: Mapping[str, str]) -> list[Callable[[object], None]]:
    """Return what is to be called when a loop begins to run; of a value that is neither 0 nor 1 there is a warning."""
    found: list[Callable[[object], None]] = []
    for variable, home in BY_VARIABLE.items():
        said = variables.get(variable, "")
        if said == "1" or (variable in _ANY_VALUE and said not in ("", "0")):
            found.append(partial(_begin, home))
        elif said not in ("", "0"):
            warnings.warn(f"{variable}={said!r}: 1 switches it on, 0 off; it stays off", RuntimeWarning, stacklevel=2)
    return found


def _debug(loop: object, enabled: bool) -> None:
    import_module("hasten.diagnosis.watch").in_debug_mode(loop, enabled)


attending.on_run += asked_for(os.environ)
if os.environ.get("HASTEN_WATCH") != "0":
    attending.on_debug = _debug
