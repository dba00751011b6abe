"""What only the primitives' tests need."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any

import pytest


class Hijacked:
    """Awaits a coroutine until its first wake-up, and throws an exception into it then (None: closes it)."""

    def __init__(self, coro: Coroutine[Any, Any, Any], exc: BaseException | None) -> None:
        self.coro = coro
        self.exc = exc

    def __await__(self) -> Generator[Any, None, None]:
        yield self.coro.send(None)
        if self.exc is None:
            self.coro.close()
        else:
            self.coro.throw(self.exc)


@pytest.fixture
def hijacked() -> type[Hijacked]:
    return Hijacked
