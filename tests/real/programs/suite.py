"""Runs a library's own tests on one kind of loop, and notes how each of them ends.

python suite.py WAY FILE LIMIT RUNNER [ARGUMENT ...]

WAY is one of

    asyncio     everything as it comes; hasten is not even imported
    loop        wherever no other loop is asked for, it is hasten's; functions and tasks are asyncio's
    install     after hasten.install(): functions and tasks are hasten's too

FILE gets the notes (recording.py), LIMIT is the time that a test of unittest may take, in seconds. RUNNER is a module
that `python -m` could run: pytest, unittest, or one that is made of unittest's parts.
"""

import runpy
import sys
import unittest

import recording


def choose_loop(way):
    if way == "asyncio":
        return
    import hasten
    from hasten.aio import install

    if way == "install":
        hasten.install()
    elif way == "loop":
        install.default_policy_class()._loop_factory = staticmethod(hasten.new_event_loop)
    else:
        sys.exit(f"suite.py: unknown way {way!r}: asyncio, loop or install")


def main():
    way, file, limit, runner, *arguments = sys.argv[1:]
    notes = recording.Notes(file)
    choose_loop(way)
    if way != "asyncio":
        notes.count_hasten()
    sys.path.insert(0, "")  # as with `python -m`
    sys.argv = [runner, *arguments]
    if runner == "pytest":
        import pytest

        sys.exit(pytest.main(arguments, plugins=[recording.PytestPlugin(notes)]))
    result = recording.unittest_result(notes, float(limit))
    unittest.TextTestResult = unittest.TextTestRunner.resultclass = result  # unittest.runner uses its own by name
    try:
        runpy.run_module(runner, run_name="__main__", alter_sys=True)
    finally:
        notes.close()


if __name__ == "__main__":
    main()
