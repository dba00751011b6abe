# A type checker narrows the type of what they are asked about, as it does for asyncio's.
from asyncio import iscoroutine as iscoroutine
from asyncio import isfuture as isfuture
