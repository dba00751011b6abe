"""What guard.pyx does, in plain Python: there is no such thread."""

from __future__ import annotations

import time

_LOOK = 0.005  # seconds


def available() -> bool:
    """True if there is such a thread here."""
    return False


class Guarded:
    """What the guard looks after. A subclass says in rescue() what is to be done."""

    _since: float | None = None

    def expect(self) -> int:
        """Note that something is to be done. Nothing here calls rescue()."""
        self._since = time.monotonic()
        return 0

    def is_expected(self) -> bool:
        """True after expect(), until done()."""
        return self._since is not None

    def is_late(self) -> bool:
        """True if that has lasted for longer than five milliseconds."""
        return self._since is not None and time.monotonic() - self._since > _LOOK

    def is_inherited(self) -> bool:
        """True in the child of a fork for what the parent had there, until abandon()."""
        return False

    def make_late(self) -> int:
        """Have is_late() be true until done()."""
        self._since = float("-inf")
        return 0

    def done(self) -> int:
        """There is nothing left that rescue() could do."""
        self._since = None
        return 0

    def disown(self) -> int:
        """Nothing of the parent's is left."""
        return 0

    def rescue(self) -> int:
        """Do what is due."""
        return self.done()

    def abandon(self) -> int:
        """Forget what is due."""
        return self.done()
