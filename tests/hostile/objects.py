"""Objects whose every method is somebody else's code: each calls `strike()` of a Mischief (deeds.py)."""

from __future__ import annotations

import asyncio
from typing import Any

from properties import machine


class Evil:
    """A result, a value of a context, an argument, a message, a callback: whatever it is used as."""

    def __init__(self, mischief: Any, place: str) -> None:
        self.mischief = mischief
        self.place = place

    def __del__(self) -> None:
        self.mischief.strike("end of a " + self.place)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.mischief.strike("call of a " + self.place, raising=True)
        return self.mischief.evil("value of a " + self.place)

    def __eq__(self, other: object) -> Any:
        """At times the same as another such, but not as what else may be told of a future: who waits for it."""
        self.mischief.strike("comparison")
        return self.mischief.rng.choice([False, False, type(other) is Evil, NotImplemented])

    def __hash__(self) -> int:
        self.mischief.strike("hash")
        return 7

    def __repr__(self) -> str:
        self.mischief.strike("repr")
        return "evil"

    def __bool__(self) -> bool:
        self.mischief.strike("bool")
        return True


class Item:
    """What a queue keeps. Items are ordered by number, or the queue would never be the same."""

    count = 0

    def __init__(self, mischief: Any) -> None:
        self.mischief = mischief
        Item.count += 1
        self.number = Item.count * 7 % 5

    def __lt__(self, other: Any) -> bool:
        self.mischief.strike("order")
        return self.number < getattr(other, "number", 3)

    def __gt__(self, other: Any) -> bool:
        self.mischief.strike("order")
        return self.number > getattr(other, "number", 3)

    def __del__(self) -> None:
        self.mischief.strike("end of an item")


class Trouble(machine.Boom):
    """An exception whose class, attributes and methods run code, and which strikes when it goes."""

    mischief: Any = None

    def __init__(self, mischief: Any = None, *args: Any) -> None:
        super().__init__(*args)
        self.mischief = mischief

    def hurt(self, place: str) -> None:
        mischief = object.__getattribute__(self, "__dict__").get("mischief")
        if mischief is not None:
            mischief.strike(place)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        Trouble.hurt(self, "class of an exception")
        return type(self)

    def __getattribute__(self, name: str) -> Any:
        if name not in ("hurt", "mischief", "__dict__"):
            Trouble.hurt(self, "attribute of an exception")
        return super().__getattribute__(name)

    def with_traceback(self, tb: Any) -> Any:
        Trouble.hurt(self, "traceback of an exception")
        return super().with_traceback(tb)

    def __repr__(self) -> str:
        Trouble.hurt(self, "repr of an exception")
        return "Trouble()"

    def __str__(self) -> str:
        Trouble.hurt(self, "text of an exception")
        return "trouble"

    def __del__(self) -> None:
        Trouble.hurt(self, "end of an exception")


class Liar(Exception):
    """Says that it is another's, or raises when asked."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        raise ZeroDivisionError("class of an exception")

    def __getattribute__(self, name: str) -> Any:
        raise ZeroDivisionError("attribute of an exception")

    def __repr__(self) -> str:
        raise ZeroDivisionError("repr of an exception")

    __str__ = __repr__


class Pretender(Exception):
    """isinstance() finds a KeyboardInterrupt, which it is not."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return KeyboardInterrupt


class Stranger(BaseException):
    """No Exception, and none of those that end a loop."""


RAISED: list[type[BaseException]] = [
    *(ValueError, machine.Boom, Trouble, Liar, Pretender, Stranger, StopIteration, RecursionError, MemoryError),
    *(GeneratorExit, asyncio.CancelledError, KeyboardInterrupt, SystemExit),
]


def trouble_class(mischief: Any) -> type[BaseException]:
    """A class that strikes when an exception is made of it."""

    class Made(Trouble):
        def __new__(cls, *args: Any) -> Any:
            mischief.strike("making of an exception")
            return super().__new__(cls)

        def __init__(self) -> None:
            super().__init__(mischief)
            mischief.strike("making of an exception")

    return Made
