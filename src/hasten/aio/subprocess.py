"""Subprocesses: the interpreter's own, with what Python 3.11 lacks.

Lacking in 3.11: communicate() without input closes the child's standard input, so that a child that reads it ends.
"""

from __future__ import annotations

import asyncio.subprocess as _std
import sys
from asyncio.subprocess import DEVNULL as DEVNULL
from asyncio.subprocess import PIPE as PIPE
from asyncio.subprocess import STDOUT as STDOUT
from asyncio.subprocess import SubprocessStreamProtocol as SubprocessStreamProtocol

if sys.version_info >= (3, 12):
    from asyncio.subprocess import Process as Process
    from asyncio.subprocess import create_subprocess_exec as create_subprocess_exec
    from asyncio.subprocess import create_subprocess_shell as create_subprocess_shell
else:
    from typing import Any

    class Process(_std.Process):
        """A running subprocess: see asyncio.subprocess.Process."""

        async def communicate(self, input: bytes | bytearray | memoryview | None = None) -> tuple[Any, Any]:
            """Send `input` to the process, close its standard input, and return all of (stdout, stderr)."""
            if input is None and self.stdin is not None:
                input = b""  # what closes the pipe there is writing to it
            return await super().communicate(input)

    _LIMIT = 2**16  # bytes that a stream of the process buffers

    async def create_subprocess_shell(
        cmd: str | bytes, stdin: Any = None, stdout: Any = None, stderr: Any = None, limit: int = _LIMIT, **kwds: Any
    ) -> Process:
        """Start a shell command and return its Process. Arguments are asyncio.create_subprocess_shell()'s."""
        return _ours(await _std.create_subprocess_shell(cmd, stdin, stdout, stderr, limit, **kwds))

    async def create_subprocess_exec(
        program: Any,
        *args: Any,
        stdin: Any = None,
        stdout: Any = None,
        stderr: Any = None,
        limit: int = _LIMIT,
        **kwds: Any,
    ) -> Process:
        """Start a program and return its Process. Arguments are asyncio.create_subprocess_exec()'s."""
        made = _std.create_subprocess_exec(
            program, *args, stdin=stdin, stdout=stdout, stderr=stderr, limit=limit, **kwds
        )
        return _ours(await made)

    def _ours(process: Any) -> Process:
        return Process(process._transport, process._protocol, process._loop)
