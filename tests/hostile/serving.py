"""What the servers of several programs do with a connection."""

from __future__ import annotations

from typing import Any


async def answer(reader: Any, writer: Any) -> None:
    """Sends one line back."""
    try:
        writer.write(await reader.readline())
        await writer.drain()
    finally:
        writer.close()
