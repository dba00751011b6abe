"""What HASTEN_WATCH and `hasten run` turn on of these companions."""

from __future__ import annotations

import os
from typing import Any

from hasten.diagnosis import deadlock, forgotten


def begin(loop: Any = None) -> None:
    """Tell of deadlocks and of what is forgotten, from now on, in the whole process: a loop is about to run."""
    deadlock.tell_deadlocks()
    forgotten.tell_forgotten(origins=os.environ.get("HASTEN_ORIGINS", "0") not in ("", "0"))
