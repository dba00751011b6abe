"""gather() that is cancelled: in whose words it says so, and what it leaves to its children."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest


class MyError(Exception):
    pass


async def value(result: Any) -> Any:
    return result


async def failing() -> None:
    raise MyError


async def words_of(gathering: Any) -> tuple[Any, ...]:
    with pytest.raises(asyncio.CancelledError) as caught:
        await gathering
    return caught.value.args


@pytest.mark.stdlib_since(3, 12)
def test_it_speaks_in_the_words_of_the_last_in_the_list(world: Any) -> None:
    async def main(last_was_cancelled: bool) -> Any:
        never = asyncio.get_running_loop().create_future()
        children = [value(1), never] if last_was_cancelled else [never, value(1)]
        gathering = world.ns.gather(*children, return_exceptions=True)
        for _ in range(2):
            await asyncio.sleep(0)
        gathering.cancel("enough")
        return await words_of(gathering)

    assert world.run(main(True)) == ("enough",)
    assert world.run(main(False)) == ()


@pytest.mark.stdlib_since(3, 12)
def test_it_leaves_a_failed_child_its_exception(world: Any) -> None:
    async def main() -> None:
        never = asyncio.get_running_loop().create_future()
        failed = world.ns.create_task(failing())
        gathering = world.ns.gather(never, failed, return_exceptions=True)
        for _ in range(2):
            await asyncio.sleep(0)
        gathering.cancel("enough")
        assert await words_of(gathering) == ()
        for _ in range(2):
            assert isinstance(failed.exception(), MyError)

    world.run(main())
