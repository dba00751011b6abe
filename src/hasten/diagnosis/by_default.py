"""What HASTEN_WATCH and `hasten run` turn on of these companions."""

from __future__ import annotations

import os
from typing import Any

from hasten.diagnosis import deadlock, forgotten, watch


def begin(loop: Any = None) -> None:
    """Tell of blocked loops, deadlocks and of what is forgotten, from now on, in the whole process: a loop is to run.

    HASTEN_WATCH=0 has `hasten run` tell of none of these; another number than 1 is the threshold of the watch.
    """
    if os.environ.get("HASTEN_WATCH") == "0":
        return
    watch.begin()
    deadlock.tell_deadlocks()
    forgotten.tell_forgotten(origins=os.environ.get("HASTEN_ORIGINS", "0") not in ("", "0"))
