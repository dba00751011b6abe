"""A stall of a loop: what was seen of it, and how it is told."""

from __future__ import annotations

import linecache
import os
import site
import stat
import sysconfig
from dataclasses import dataclass
from types import FrameType

from hasten.diagnosis.instead import instead_of
from hasten.diagnosis.showing import plain, short

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def _libraries() -> tuple[str, ...]:
    """The folders whose code is not the program's own."""
    paths = {sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths.update(site.getsitepackages())
    if isinstance(user := site.getusersitepackages(), str):
        paths.add(user)
    return (_PACKAGE, *(os.path.join(path, "") for path in paths), "<frozen ")


_LIBRARIES = _libraries()
_MOST = 1 << 24  # bytes of a file of source


def _can_be_read(file: str) -> bool:
    """True for what can be read at once: a program's code may go by the name of a pipe or of a device."""
    if file.startswith("<") or file in linecache.cache:
        return True
    try:
        found = os.stat(file)
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size <= _MOST


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a function. `line` is 0 where it is unknown."""

    file: str
    line: int
    function: str

    @property
    def is_library(self) -> bool:
        """True for a line of the standard library, of an installed package, or of hasten."""
        return self.file.startswith(_LIBRARIES) or f"{os.sep}site-packages{os.sep}" in self.file

    @property
    def source(self) -> str:
        """The text of the line; "" where it is unknown."""
        return linecache.getline(self.file, self.line).strip() if self.line > 0 and _can_be_read(self.file) else ""

    def __str__(self) -> str:
        return plain(f'File "{self.file}", line {self.line}, in {self.function}')


@dataclass(frozen=True, slots=True)
class Stall:
    """A time in which one batch of a loop went on for so long that others waited. Times are in seconds."""

    seconds: float  # how long
    computed: float  # which share of it the loop's thread was at work, 0 to 1; else it waited for something
    places: tuple[Place, ...]  # where it stood, as most samples show it: the innermost call first
    share: float  # of the samples that show this, 0 to 1: less than a half means that no single call blocked
    task: str | None  # the name of the task whose step it was; None: a callback's, or the task has ended meanwhile
    made: str | None  # where that task was made, "file:line"; None: unknown, or by asyncio or hasten, as run() does
    waiting: int  # callbacks, steps and timers that were ready when it ended
    thread: str  # the name of the loop's thread
    repeated: int = 0  # how often the same place has blocked since it was told last

    @property
    def place(self) -> Place | None:
        """The innermost line of the program's own; a library's, if there is no other; None: nothing was seen."""
        own = [place for place in self.places if not place.is_library]
        return (own or list(self.places) or [None])[0]  # type: ignore[list-item]

    @property
    def advice(self) -> str:
        """What to use instead."""
        place = self.place
        innermost = self.places[0].file if self.places else ""
        return instead_of(innermost, "" if place is None else place.source, self.computed >= 0.5)

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """The report, a line each."""
        place = self.place
        did = "It computed" if self.computed >= 0.5 else "It waited"
        lines = [f"The event loop was blocked for {_time(self.seconds)} by one step. {did}."]
        if place is not None:
            source = f": {short(place.source)}" if place.source else ""
            where = plain(f"{place.file}:{place.line}, in {place.function}{source}")
            lines = [f"The event loop was blocked for {_time(self.seconds)} at {where}"]
            lines.append(f"  {did} ({self.computed:.0%} of that time on the processor).")
        if self.share < 0.5:
            lines.append(f"  No single call: this place was seen in {self.share:.0%} of the samples.")
        if self.task is not None:
            made = plain(f", made at {self.made}") if self.made else ""
            lines.append(f"  In task {short(self.task)!r}{made}")
        lines += [f"    {each}" for each in self.chain()]
        if self.waiting:
            lines.append(
                f"  {self.waiting} {'other was' if self.waiting == 1 else 'others were'} ready and waited meanwhile."
            )
        if self.repeated:
            times = "once more" if self.repeated == 1 else f"{self.repeated} times more"
            lines.append(f"  The same place has blocked {times} since it was last told.")
        lines.append(f"  Instead: {self.advice}.")
        lines.append("See docs/diagnosis/watch.md")
        return lines

    def chain(self) -> list[Place]:
        """The calls and awaits that led there, outermost first: from the step or callback on, without hasten's own."""
        found = []
        for place in self.places:
            if place.file.startswith(_PACKAGE) and place.function.endswith("run_forever"):
                break
            if not place.file.startswith((_PACKAGE, "<frozen ")):
                found.append(place)
        return list(reversed(found[:12]))


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms" if seconds < 1.0 else f"{seconds:.2f} s"


def innermost_first(frame: FrameType | None) -> list[tuple[str, int, str]]:
    """A frame and those that called it, as a sample has them."""
    found = []
    while frame is not None:
        code = frame.f_code
        found.append((code.co_filename, frame.f_lineno or 0, code.co_qualname))
        frame = frame.f_back
    return found
