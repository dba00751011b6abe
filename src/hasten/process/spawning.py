"""The loop's `subprocess_exec` and `subprocess_shell`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from hasten.process import child_watchers
from hasten.process.transport import SubprocessTransport
from hasten.process.watching import Children

if TYPE_CHECKING:
    from hasten.process.contract import ProcessLoop

logger = logging.getLogger("asyncio")
_P = TypeVar("_P", bound=asyncio.BaseProtocol)
_DECODE = "decode what is read from the pipes"
_AIX = sys.platform.startswith("aix")


def _check(
    universal_newlines: Any, shell: Any, bufsize: Any, encoding: Any, errors: Any, text: Any, *, shell_wanted: bool
) -> None:
    """Raise ValueError for arguments of Popen's that a loop's pipes do not have: they are of bytes."""
    if text:
        raise ValueError(f"text must be False, not {text!r}: {_DECODE}")
    if universal_newlines:
        raise ValueError(f"universal_newlines must be False, not {universal_newlines!r}: {_DECODE}")
    if encoding is not None:
        raise ValueError(f"encoding must be None, not {encoding!r}: {_DECODE}")
    if errors is not None:
        raise ValueError(f"errors must be None, not {errors!r}: {_DECODE}")
    if bool(shell) is not shell_wanted:
        other = "subprocess_exec() runs programs" if shell_wanted else "subprocess_shell() runs shell commands"
        raise ValueError(f"shell must be {shell_wanted}, not {shell!r}: {other}")
    if bufsize != 0:
        raise ValueError(f"bufsize must be 0, not {bufsize!r}: the loop's transports have their own buffers")


async def subprocess_exec(
    loop: ProcessLoop,
    protocol_factory: Callable[[], _P],
    program: Any,
    *args: Any,
    stdin: Any = subprocess.PIPE,
    stdout: Any = subprocess.PIPE,
    stderr: Any = subprocess.PIPE,
    universal_newlines: bool = False,
    shell: bool = False,
    bufsize: int = 0,
    encoding: None = None,
    errors: None = None,
    text: Literal[False] | None = None,
    **kwargs: Any,
) -> tuple[SubprocessTransport, _P]:
    """Run a program with arguments; return (transport, protocol). Further keywords are subprocess.Popen's."""
    _check(universal_newlines, shell, bufsize, encoding, errors, text, shell_wanted=False)
    return await _run(
        loop, protocol_factory, (program, *args), False, stdin=stdin, stdout=stdout, stderr=stderr, **kwargs
    )


async def subprocess_shell(
    loop: ProcessLoop,
    protocol_factory: Callable[[], _P],
    cmd: str | bytes,
    *,
    stdin: Any = subprocess.PIPE,
    stdout: Any = subprocess.PIPE,
    stderr: Any = subprocess.PIPE,
    universal_newlines: bool = False,
    shell: bool = True,
    bufsize: int = 0,
    encoding: None = None,
    errors: None = None,
    text: Literal[False] | None = None,
    **kwargs: Any,
) -> tuple[SubprocessTransport, _P]:
    """Run a command by the shell; return (transport, protocol). Further keywords are subprocess.Popen's."""
    _check(universal_newlines, shell, bufsize, encoding, errors, text, shell_wanted=True)
    return await _run(loop, protocol_factory, cmd, True, stdin=stdin, stdout=stdout, stderr=stderr, **kwargs)


async def _run(
    loop: ProcessLoop,
    factory: Callable[[], _P],
    args: Any,
    shell: bool,
    /,
    *,
    stdin: Any,
    stdout: Any,
    stderr: Any,
    extra: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[SubprocessTransport, _P]:
    """Run a program, or a command by the shell; return (transport, protocol).

    Everything is in this one coroutine: each time that a loop goes on with a task, it passes through all that await
    each other.

    Arguments:
        args: the program and its arguments; for the shell a command.
        options: Popen's.
    """
    if sys.platform == "win32":
        raise NotImplementedError(
            "hasten's event loop runs no subprocesses on Windows: asyncio.ProactorEventLoop() does"
        )
    if shell and not isinstance(args, (str, bytes)):
        raise ValueError(f"cmd must be a string, not {args!r}: subprocess_exec() takes a program and its arguments")
    protocol = factory()
    what = ""
    if loop.get_debug():  # without a program's arguments, which may be secret, or many
        what = f"run shell command {args!r}" if shell else f"execute program {args[0]!r}"
        logger.debug("%s", _described(what, stdin, stdout, stderr))
    options.update(shell=shell, stdin=stdin, stdout=stdout, stderr=stderr)
    watcher = child_watchers.chosen()
    transport = None
    try:
        if watcher is None:
            transport = _start(loop, protocol, args, options, extra, _watch)
            await transport._connect_pipes()
        else:
            with watcher as entered:
                watch = partial(_watch_by, _active(child_watchers.to_ask(watcher, entered)))
                transport = _start(loop, protocol, args, options, extra, watch)
                await transport._connect_pipes()
        if what:
            logger.info("%s: %r", what, transport)
    except BaseException as exc:
        if transport is not None:
            transport.close()  # kills the child
            if not isinstance(exc, (SystemExit, KeyboardInterrupt, GeneratorExit)):
                await transport._wait()
        raise
    return transport, protocol


def _active(watcher: Any) -> Any:
    if not watcher.is_active():
        raise RuntimeError(
            "the child watcher that was set by asyncio.set_child_watcher() is not active: attach it to a loop"
            " that runs, or set None"
        )
    return watcher


def _start(
    loop: ProcessLoop,
    protocol: Any,
    args: Any,
    options: dict[str, Any],
    extra: dict[str, Any] | None,
    watch: Callable[[ProcessLoop, SubprocessTransport], None],
) -> SubprocessTransport:
    """Start the child, and have its end told. If that fails, it is killed and reaped."""
    # The stdin of a child is a pipe, as other programs expect it, but on AIX.
    start = _popen_with_sockets if _AIX and options["stdin"] == subprocess.PIPE else subprocess.Popen
    popen = start(args, bufsize=0, **options)
    transport = None
    try:
        transport = SubprocessTransport(loop, protocol, popen, extra)
        watch(loop, transport)
        if loop.get_debug():
            program: Any = popen.args
            if not isinstance(program, (str, bytes)):
                program = program[0]
            logger.debug("process %r created: pid %s", program, popen.pid)
    except BaseException:
        if transport is not None:
            transport._closed = True
        _end(popen)
        raise
    return transport


def _popen_with_sockets(args: Any, **options: Any) -> subprocess.Popen[bytes]:
    """Start a child whose stdin is a socket: on AIX the writing end of a pipe does not tell that the reader is gone."""
    theirs, ours = socket.socketpair()
    with theirs, ours:
        popen = subprocess.Popen(args, **{**options, "stdin": theirs})
        popen.stdin = os.fdopen(ours.detach(), "wb", buffering=0)
        return popen


def _watch(loop: ProcessLoop, transport: SubprocessTransport) -> None:
    """Have the loop itself wait for the child's end."""
    children = loop._children
    if children is None:
        children = loop._children = Children()
    assert transport._proc is not None
    transport._child = children.watch(loop, transport._proc, transport._process_exited)


def _watch_by(watcher: Any, loop: ProcessLoop, transport: SubprocessTransport) -> None:
    """Have a child watcher of asyncio's wait for it. It may tell from another thread."""
    watcher.add_child_handler(transport.get_pid(), _told_by_watcher, loop, transport)


def _told_by_watcher(pid: int, returncode: int, loop: ProcessLoop, transport: SubprocessTransport) -> None:
    loop.call_soon_threadsafe(transport._process_exited, returncode)


def _end(popen: subprocess.Popen[bytes]) -> None:
    """Kill and reap a child that cannot be watched."""
    for file in (popen.stdin, popen.stdout, popen.stderr):
        if file is not None:
            file.close()
    with contextlib.suppress(PermissionError):  # it runs as another user: nobody can be made to wait for its end
        popen.kill()
        popen.wait()


def _described(what: str, stdin: Any, stdout: Any, stderr: Any) -> str:
    """Say what is started, with where its streams go."""
    words = [what]
    if stdin is not None:
        words.append(f"stdin={_stream(stdin)}")
    if stdout is not None and stderr == subprocess.STDOUT:
        words.append(f"stdout=stderr={_stream(stdout)}")
    else:
        if stdout is not None:
            words.append(f"stdout={_stream(stdout)}")
        if stderr is not None:
            words.append(f"stderr={_stream(stderr)}")
    return " ".join(words)


def _stream(stream: Any) -> str:
    names = {subprocess.PIPE: "<pipe>", subprocess.STDOUT: "<stdout>", subprocess.DEVNULL: "<devnull>"}
    return names.get(stream, repr(stream)) if isinstance(stream, int) else repr(stream)
