"""Figures as documents show them."""

from __future__ import annotations

STEPS: dict[str, list[tuple[float, str]]] = {
    "ns": [(1e6, "ms"), (1e3, "µs"), (1, "ns")],
    "bytes": [(1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")],
}

WIDE = 0.15  # rounds further apart than this, as a share of their median, are marked


def number(value: float, unit: str) -> str:
    """A figure with three digits that count and its unit, such as `1.27 µs` or `820 B`."""
    steps = STEPS[unit]
    size, name = next(((size, name) for size, name in steps if abs(value) >= size), steps[-1])
    scaled = value / size
    if unit == "bytes" and size == 1:
        return f"{scaled:.0f} {name}"
    digits = 2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0
    return f"{scaled:.{digits}f} {name}"
