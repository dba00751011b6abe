"""hasten.get_event_loop(): what it gives where a loop runs, was set, or neither; each in an interpreter of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

MAKES = sys.version_info < (3, 14)  # a loop, where there is none
makes = pytest.mark.skipif(not MAKES, reason="no loop is made from Python 3.14 on")


def program(text: str) -> str:
    """Run a program; return what it printed on both outputs."""
    code = "import asyncio, threading, warnings\nimport hasten\n" + textwrap.dedent(text)
    command = [sys.executable, "-W", "always::DeprecationWarning", "-c", code]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


@makes
def test_in_the_main_thread_a_loop_of_hastens_is_made_and_set() -> None:
    said = program(
        """
        async def main():
            return hasten.get_event_loop(), await asyncio.sleep(0, "done")

        loop = hasten.get_event_loop()
        assert isinstance(loop, hasten.Loop)
        assert hasten.get_event_loop() is loop
        assert asyncio.get_event_loop() is loop
        assert loop.run_until_complete(main()) == (loop, "done")
        loop.close()
        """
    )
    if sys.version_info >= (3, 12):
        assert "<string>:7: DeprecationWarning: There is no current event loop" in said
        assert said.count("DeprecationWarning") == 1
    else:
        assert said == ""


def test_from_python_3_14_on_none_is_made() -> None:
    if MAKES:
        pytest.skip("before, one is")
    program(
        """
        try:
            hasten.get_event_loop()
        except RuntimeError as error:
            assert "no current event loop" in str(error)
        else:
            raise AssertionError
        """
    )


def test_the_running_loop_and_the_one_that_was_set() -> None:
    said = program(
        """
        async def main():
            return hasten.get_event_loop()

        loop = asyncio.SelectorEventLoop()
        hasten.set_event_loop(loop)
        assert hasten.get_event_loop() is loop
        assert loop.run_until_complete(main()) is loop
        with hasten.Runner() as runner:
            assert runner.run(main()) is runner.get_loop()
        loop.close()
        """
    )
    assert said == ""


@pytest.mark.parametrize("where", ["after None was set", "in another thread"])
def test_where_none_is_made(where: str) -> None:
    program(
        f"""
        found = []

        def ask():
            try:
                found.append(hasten.get_event_loop())
            except RuntimeError as error:
                found.append(str(error))

        if {where == "in another thread"}:
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join()
        else:
            hasten.set_event_loop(None)
            ask()
        [text] = found
        assert "no current event loop" in text, text
        """
    )


def test_a_policy_that_the_program_has_set_is_asked() -> None:
    program(
        """
        warnings.simplefilter("ignore")  # policies are deprecated from 3.14 on

        class Policy(asyncio.DefaultEventLoopPolicy):
            def get_event_loop(self):
                return "its own"

        asyncio.set_event_loop_policy(Policy())
        assert hasten.get_event_loop() == "its own"
        """
    )


@makes
def test_after_install_it_is_the_same_as_asyncios() -> None:
    program(
        """
        hasten.install()
        warnings.simplefilter("ignore")
        loop = hasten.get_event_loop()
        assert isinstance(loop, hasten.Loop)
        assert asyncio.get_event_loop() is loop
        loop.close()
        """
    )
