"""What only asyncio's users see: run(), streams, subprocesses, the call graph, asyncio's names, install()."""
