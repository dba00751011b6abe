"""What `hasten run` puts in place in its process, and in those that this one starts by multiprocessing."""

from __future__ import annotations

from hasten.aio import children, other_loops, uvloop_name
from hasten.aio.install import install
from hasten.core import attending, report
from hasten.diagnosis import by_default


def begin(inspected: bool = False) -> None:
    """Put hasten in asyncio's place for the whole process. `inspected`: `hasten ps` and its kin may look into it."""
    install()
    uvloop_name.take()
    other_loops.tell()
    children.call(begin, inspected)
    attending.on_run.append(by_default.begin)
    if inspected:
        _inspect()


def _inspect() -> None:
    from hasten.diagnosis.inspecting import inspect

    try:
        inspect()
    except (OSError, RuntimeError) as error:  # the program is what is wanted above all
        report.say(f"hasten: the process cannot be looked into: {error}")
