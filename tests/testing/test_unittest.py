"""The companions for tests in cases of the standard library's unittest."""

from __future__ import annotations

import asyncio
import sys
import unittest

from hasten.testing import virtual_time

LONG = 7 * 86400.0


class TestCase(unittest.IsolatedAsyncioTestCase):
    @virtual_time()
    async def test_as_a_decorator_of_a_method(self) -> None:
        await asyncio.sleep(LONG)
        assert asyncio.get_running_loop().time() == LONG

    if sys.version_info >= (3, 13):
        loop_factory = virtual_time()

        async def test_the_loop_factory(self) -> None:
            await asyncio.sleep(LONG)
