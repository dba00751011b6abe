"""Benchmarks of hasten beside asyncio and uvloop.

    python -m bench                 compare on tasks, echo servers, the demo and memory
    python -m bench.soak            millions of requests: does anything grow?
    python -m bench.instructions    instructions per operation, for finding regressions

Linux. Run from the root of the checkout; `--help` tells the options.
"""
