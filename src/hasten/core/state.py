"""A future's states (C constants in state.pxd; this file is for uncompiled runs and type checkers)."""

PENDING, CANCELLED, FINISHED = 0, 1, 2
NAMES = ("PENDING", "CANCELLED", "FINISHED")
