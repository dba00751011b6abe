"""How a measurement ends when it does not end with a figure."""

from __future__ import annotations


class Failure(Exception):
    """A measurement without a figure.

    kind: "unsupported" (this loop or this machine lacks what it takes: not a fault), "error", "crash" (ended by a
        signal), "hang" or "wrong data"
    why: one line for the reader of the table
    """

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(kind, why)
        self.kind = kind
        self.why = why


class Unsupported(Failure):
    """What the workload takes is not there; that is reported, and is no fault."""

    def __init__(self, why: str) -> None:
        super().__init__("unsupported", why)
