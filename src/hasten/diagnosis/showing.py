"""How texts that the program has chosen are shown: names, paths, lines of source."""

from __future__ import annotations

import re
from typing import Any

LENGTH = 200
# Letters that would move the cursor, colour the screen, or turn the direction of what follows; and halves of letters.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: Any) -> str:
    """Return a text so that a terminal or a log shows it and does not obey it."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def short(text: str, length: int = LENGTH) -> str:
    """Return the beginning of a text that is longer."""
    return text if len(text) <= length else text[: length - 1] + "…"
