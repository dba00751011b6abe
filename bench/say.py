"""How a measured process speaks to the one that measures: a line of JSON on standard output."""

from __future__ import annotations

import json
import sys
from typing import Any


def say(event: str, **values: Any) -> None:
    """Writes one message."""
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()
