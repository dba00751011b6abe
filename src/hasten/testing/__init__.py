"""Companions for tests: virtual time, schedules that find races, a pytest plugin. Imported when they are asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hasten.testing.orders import explore as explore
    from hasten.testing.orders import find as find
    from hasten.testing.orders import schedule as schedule
    from hasten.testing.orders import schedules as schedules
    from hasten.testing.simulation import Deadlock as Deadlock
    from hasten.testing.simulation import virtual_time as virtual_time

_TOPICS = {"simulation": "Deadlock virtual_time", "orders": "schedule schedules explore find"}
_HOMES = {name: home for home, names in _TOPICS.items() for name in names.split()}
__all__ = ["Deadlock", "explore", "find", "schedule", "schedules", "virtual_time"]  # a checker takes no other form


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
