"""subprocess_exec and subprocess_shell: what is started, with which arguments, and what is refused."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import pwd
import stat
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hasten.process import spawning

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="asyncio's Proactor loop runs processes there")


async def output(*command: Any, **options: Any) -> tuple[bytes, int]:
    options.setdefault("stdin", DEVNULL)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, **options)
    out, _ = await process.communicate()
    assert process.returncode is not None
    return out, process.returncode


def test_a_program_and_its_arguments(run: Callable[..., Any]) -> None:
    assert run(output("echo", "a b", "c")) == (b"a b c\n", 0)
    assert run(output(b"/bin/echo", Path("d"))) == (b"d\n", 0)
    assert run(output("sh", "-c", "exit 7")) == (b"", 7)
    assert run(output("sh", "-c", "kill -9 $$")) == (b"", -9)


def test_a_shell_command(run: Callable[..., Any]) -> None:
    async def main(command: str | bytes) -> Any:
        process = await asyncio.create_subprocess_shell(command, stdout=PIPE, stderr=STDOUT)
        return (await process.communicate())[0], process.returncode

    assert run(main("echo out; echo err >&2; exit 3")) == (b"out\nerr\n", 3)
    assert run(main(b"echo $((6 * 7))")) == (b"42\n", 0)


@pytest.mark.parametrize(
    "options",
    [
        {"universal_newlines": True},
        {"text": True},
        {"encoding": "utf-8"},
        {"errors": "strict"},
        {"bufsize": 1},
        {"bufsize": None},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_pipes_of_bytes_do_not_have_is_refused(run: Callable[..., Any], options: dict[str, Any]) -> None:
    (name,) = options
    for start in (asyncio.create_subprocess_exec, asyncio.create_subprocess_shell):

        async def main(start: Any = start) -> None:
            await start("true", **options)

        with pytest.raises(ValueError, match=f"{name} must be"):
            run(main())


def test_shell_is_not_an_option(either_loop: asyncio.AbstractEventLoop, run: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="shell must be False"):
        run(either_loop.subprocess_exec(asyncio.SubprocessProtocol, "true", shell=True))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shell must be True"):
        run(either_loop.subprocess_shell(asyncio.SubprocessProtocol, "true", shell=False))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cmd must be a string"):
        run(either_loop.subprocess_shell(asyncio.SubprocessProtocol, ["true"]))  # type: ignore[arg-type]


def test_the_values_that_are_allowed(run: Callable[..., Any]) -> None:
    allowed: dict[str, Any] = {"universal_newlines": False, "text": None, "encoding": None, "errors": None}
    assert run(output("echo", "x", bufsize=0, shell=False, **allowed)) == (b"x\n", 0)


def test_an_argument_that_popen_does_not_know(run: Callable[..., Any]) -> None:
    for name in ("colour", "factory", "what", "command", "watch"):
        with pytest.raises(TypeError, match=name):
            run(output("true", **{name: 1}))


@pytest.mark.parametrize("stdio", [PIPE, None, DEVNULL])
def test_a_program_that_cannot_be_executed(
    run: Callable[..., Any], tmp_path: Path, open_files: Callable[[], set[str]], stdio: Any
) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program")
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"\x7fELF and nothing more")
    garbage.chmod(0o755)
    commands: list[tuple[list[Any], int]] = [
        ([tmp_path / "missing"], errno.ENOENT),
        (["a-program-that-nobody-has"], errno.ENOENT),
        ([plain], errno.EACCES),
        ([tmp_path], errno.EACCES),
        ([garbage], errno.ENOEXEC),
        (["/bin/echo", "x" * (200 << 10)], errno.E2BIG),
    ]

    async def main() -> None:
        before = open_files()
        for command, code in commands:
            with pytest.raises(OSError) as caught:
                await asyncio.create_subprocess_exec(*command, stdin=stdio, stdout=stdio, stderr=stdio)
            assert caught.value.errno == code, command
        assert open_files() == before

    run(main())


def test_folder_and_environment(run: Callable[..., Any], tmp_path: Path) -> None:
    assert run(output("pwd", cwd=tmp_path)) == (f"{tmp_path}\n".encode(), 0)
    assert run(output("/bin/sh", "-c", "echo $A", env={"A": "b c"})) == (b"b c\n", 0)
    with pytest.raises(FileNotFoundError):
        run(output("pwd", cwd=tmp_path / "missing"))
    with pytest.raises(ValueError, match="illegal environment variable name|embedded null"):
        run(output("sh", "-c", "", env={"A=B": "c"}))
    with pytest.raises(ValueError, match="null"):
        run(output("echo", "a\0b"))


def test_groups_and_sessions(run: Callable[..., Any], python: Callable[[str], list[str]]) -> None:
    shows = python("import os; print(os.getpgid(0), os.getsid(0), os.getpid())")
    group, session, pid = map(int, run(output(*shows, process_group=0))[0].split())
    assert group == pid
    assert session == os.getsid(0)
    group, session, pid = map(int, run(output(*shows, start_new_session=True))[0].split())
    assert group == session == pid


def test_preexec_fn_runs_in_the_child(run: Callable[..., Any]) -> None:
    assert run(output("sh", "-c", "umask", preexec_fn=lambda: os.umask(0o27) and None)) == (b"0027\n", 0)

    def fails() -> None:
        raise ZeroDivisionError

    with pytest.raises(subprocess.SubprocessError, match="preexec_fn"):
        run(output("true", preexec_fn=fails))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may be somebody else")
def test_user_and_group(run: Callable[..., Any]) -> None:
    nobody = pwd.getpwnam("nobody")
    out, _ = run(output("id", "-u", user="nobody", group=nobody.pw_gid, extra_groups=[]))
    assert int(out) == nobody.pw_uid
    out, _ = run(output("sh", "-c", "umask", umask=0o77))
    assert int(out, 8) == 0o77


def test_pass_fds(run: Callable[..., Any], python: Callable[[str], list[str]]) -> None:
    async def main() -> None:
        read, write = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *python(f"import os; os.write({write}, b'hi')"), pass_fds=[write]
            )
            assert await process.wait() == 0
            os.close(write)
            write = -1
            assert os.read(read, 100) == b"hi"
        finally:
            os.close(read)
            if write >= 0:
                os.close(write)

    run(main())


def test_no_descriptor_gets_into_a_child(run: Callable[..., Any], python: Callable[[str], list[str]]) -> None:
    """Not the loop's own, nor those of other children that run."""
    shows = python("import os; print(*sorted(map(int, os.listdir('/proc/self/fd'))))")

    async def main() -> list[bytes]:
        kept = [await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE) for _ in range(3)]
        found = [(await output(*shows))[0], (await output(*shows, preexec_fn=os.getpid))[0]]
        for process in kept:
            await process.communicate(b"")
        return found

    for line in run(main()):
        assert line.split() == [b"0", b"1", b"2", b"3"]  # 3 is the folder's


def test_files_and_a_terminal_as_stdio(run: Callable[..., Any], tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.write_text("text")

    async def main() -> None:
        with given.open("rb") as source, (tmp_path / "copy").open("wb") as target:
            process = await asyncio.create_subprocess_exec("cat", stdin=source, stdout=target)
            assert await process.wait() == 0
            assert process.stdin is process.stdout is process.stderr is None
        ours, theirs = os.openpty()
        try:
            command = "test -t 0 && test -t 1 && test -t 2 && echo a terminal"
            process = await asyncio.create_subprocess_exec(
                "sh", "-c", command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
            )
            assert await process.wait() == 0
            assert os.read(ours, 100) == b"a terminal\r\n"
        finally:
            os.close(ours)
            os.close(theirs)

    run(main())
    assert (tmp_path / "copy").read_text() == "text"


@pytest.mark.stdlib_since(3, 12)
def test_standard_input_is_a_pipe(run: Callable[..., Any]) -> None:
    """Some programs reopen /dev/stdin, which goes with a pipe but not with a socket."""

    async def main() -> bytes:
        process = await asyncio.create_subprocess_exec("cat", "/dev/stdin", stdin=PIPE, stdout=PIPE)
        return (await process.communicate(b"reopened"))[0]

    assert run(main()) == b"reopened"


def test_standard_input_is_a_socket_on_aix(
    loop: Any, run_on: Callable[..., Any], recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spawning, "_AIX", True)

    async def main() -> Any:
        transport, protocol = await loop.subprocess_exec(recorder, "cat", stderr=None)
        popen = transport.get_extra_info("subprocess")
        assert stat.S_ISSOCK(os.fstat(popen.stdin.fileno()).st_mode)
        assert stat.S_ISFIFO(os.fstat(popen.stdout.fileno()).st_mode)
        stdin = transport.get_pipe_transport(0)
        stdin.write(b"through a socket")
        stdin.close()
        await protocol.over
        return protocol

    assert run_on(loop, main()).data[1] == b"through a socket"


def test_debug_mode_tells_the_log(
    either_loop: asyncio.AbstractEventLoop, run: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    either_loop.set_debug(True)
    with caplog.at_level(logging.DEBUG, "asyncio"):
        run(output("echo", "a secret", stdin=None))
    text = caplog.text
    assert "execute program 'echo' stdout=<pipe>" in text
    assert "process 'echo' created: pid" in text
    assert "exited with return code 0" in text
    assert "secret" not in text.replace("feed", "")


def test_the_factory_is_called_first(run: Callable[..., Any], either_loop: asyncio.AbstractEventLoop) -> None:
    def factory() -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(either_loop.subprocess_exec(factory, "a-program-that-nobody-has"))
