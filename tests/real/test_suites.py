"""run_suites.py itself, with small suites in the place of the libraries'."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)

from suites import comparing, fetching, report  # noqa: E402 - found through the line above
from suites.comparing import Comparison  # noqa: E402
from suites.libraries import LIBRARIES, PYTEST, Known, Library  # noqa: E402
from suites.running import End, Run, Suite, read  # noqa: E402

UNITTEST = """
import asyncio
import unittest

class Tests(unittest.TestCase):
    def test_which_functions(self):
        print(asyncio.sleep.__module__)

    def test_a_loop(self):
        asyncio.run(asyncio.sleep(0))

    def test_fails(self):
        with self.subTest("one"):
            self.fail("so it shall be")

    def test_breaks(self):
        1 / 0

    @unittest.skip("not today")
    def test_skipped(self):
        pass

    @unittest.expectedFailure
    def test_expected(self):
        self.fail()

    def test_processes(self):
        asyncio.run(asyncio.create_subprocess_exec("true"))

class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise OSError("nothing there")

    def test_never(self):
        pass

if __name__ == "__main__":
    unittest.main()
"""
PYTEST_TESTS = """
import asyncio
import pytest

@pytest.fixture
def broken():
    yield
    raise OSError("in tear-down")

def test_a_loop():
    asyncio.run(asyncio.sleep(0))

def test_fails():
    assert 1 == 2

@pytest.mark.xfail
def test_expected():
    assert False

def test_torn_down(broken):
    pass

@pytest.mark.parametrize("way", ["a", "b"])
def test_skipped(way):
    pytest.skip("not today")
"""


def suite(folder: Path, text: str, runner: str = "unittest", everything: tuple[str, ...] = ("test_small",)) -> Suite:
    (folder / "test_small.py").write_text(text)
    arguments = PYTEST if runner == "pytest" else ()
    library = Library("small", "1.0", "installed", runner, arguments, everything)
    return Suite(library, folder, Path(sys.executable), {})


def outcomes(run: Run) -> dict[str, str]:
    assert not run.broken, run.broken
    return {test.replace("::", ".").rpartition("Tests.")[2]: end.outcome for test, end in run.ends.items()}


@pytest.mark.parametrize("way", ["asyncio", "loop", "install"])
def test_outcomes_of_unittest(tmp_path: Path, way: str) -> None:
    run = suite(tmp_path, UNITTEST).run(way)
    assert outcomes(run) == {
        "test_which_functions": "passed",
        "test_a_loop": "passed",
        "test_fails": "failed",
        "test_breaks": "error",
        "test_skipped": "skipped",
        "test_expected": "xfailed",
        "test_processes": "passed",
        "setUpClass (test_small.Broken)": "error",
    }
    assert "ZeroDivisionError" in run.ends["test_small.Tests.test_breaks"].text
    assert (run.hasten_loops, run.other_loops) == ((0, 2) if way == "asyncio" else (2, 0))


def test_a_part_of_a_suite(tmp_path: Path) -> None:
    run = suite(tmp_path, UNITTEST).run("loop", ("test_small.Tests.test_a_loop",))
    assert outcomes(run) == {"test_a_loop": "passed"}


@pytest.mark.parametrize("way", ["asyncio", "loop", "install"])
def test_outcomes_of_pytest(tmp_path: Path, way: str) -> None:
    run = suite(tmp_path, PYTEST_TESTS, "pytest", ("test_small.py",)).run(way)
    assert outcomes(run) == {
        "test_small.py.test_a_loop": "passed",
        "test_small.py.test_fails": "failed",
        "test_small.py.test_expected": "xfailed",
        "test_small.py.test_torn_down": "error",
        "test_small.py.test_skipped[a]": "skipped",
        "test_small.py.test_skipped[b]": "skipped",
    }
    assert "in tear-down" in run.ends["test_small.py::test_torn_down"].detail
    assert (run.hasten_loops, run.other_loops) == ((0, 1) if way == "asyncio" else (1, 0))


def test_a_process_that_ends_too_early(tmp_path: Path) -> None:
    text = UNITTEST.replace("1 / 0", "import os; os._exit(3)")
    run = suite(tmp_path, text).run("loop")
    assert "exit status 3" in run.broken
    assert run.ends["test_small.Tests.test_a_loop"].outcome == "passed"


def test_a_run_without_tests_is_broken(tmp_path: Path) -> None:
    assert "no tests ran" in suite(tmp_path, "", "pytest", ("test_small.py",)).run("loop").broken
    assert "ZeroDivisionError" in suite(tmp_path, "1 / 0").run("loop").broken


def made(**ends: str | End) -> Run:
    return Run({test: end if isinstance(end, End) else End(end) for test, end in ends.items()}, hasten_loops=1)


def test_differences_and_their_reasons() -> None:
    stock = made(same="passed", listed="passed", gone="passed", bad="passed", fails="failed")
    ours = made(same="passed", listed="failed", bad=End("failed", "no"), fails="passed")
    alone = []

    def again(way: str, tests: tuple[str, ...]) -> Run:
        alone.append((way, tests))
        return made(bad="passed", gone="passed") if way == "asyncio" else ours

    found = comparing.compare("loop", stock, ours, [Known("list", "because", ("loop",))], again)
    assert found.explained == {"listed": "because"}
    assert {test: pair[1].outcome for test, pair in found.unexplained.items()} == {"bad": "failed", "gone": "not run"}
    assert alone == [("asyncio", ("bad", "gone")), ("loop", ("bad", "gone"))] * comparing.ROUNDS
    assert not found.good


@pytest.mark.parametrize(
    ("stock_passes", "ours_pass", "counts"), [(3, 3, False), (2, 2, False), (3, 2, True), (0, 0, True)]
)
def test_what_differs_only_among_others(stock_passes: int, ours_pass: int, counts: bool) -> None:
    left = {"asyncio": stock_passes, "loop": ours_pass}

    def again(way: str, tests: tuple[str, ...]) -> Run:
        left[way] -= 1
        return made(odd="passed" if left[way] >= 0 else "failed")

    found = comparing.compare("loop", made(odd="passed"), made(odd="failed"), [], again)
    assert (list(found.unexplained), found.among_others) == ((["odd"], []) if counts else ([], ["odd"]))
    assert found.good is not counts


def test_a_run_that_made_no_loop_of_hasten_is_not_good() -> None:
    assert not Comparison("loop", made(a="passed"), read('{"hasten_loops": 0, "other_loops": 3}\n', "")).good


def test_known_reasons_are_for_ways() -> None:
    known = [Known("test_a", "because", ("install",))]
    assert comparing.reason("test_a::one", "install", known) == "because"
    assert comparing.reason("test_a::one", "loop", known) == ""


def test_the_page_gets_the_records(tmp_path: Path) -> None:
    stock, ours = made(a="passed", b="passed"), made(a="passed", b="failed")
    found = comparing.compare("loop", stock, ours, [Known("b", "because", ("loop",))], lambda *_: Run())
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.record(tmp_path / "records", [report.summary("small 1.0", found)])
    report.record(tmp_path / "records", [report.summary("large 2.0", found)])
    report.record(tmp_path / "records", [report.summary("small 1.1", found)])
    report.write_page(tmp_path / "records", page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| small 1.1 |" in text
    assert "| large 2.0 |" in text
    assert "small 1.0" not in text
    assert "old" not in text
    assert "- because (" in text


def test_what_is_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(fetching.Unavailable, match="is no folder"):
        fetching.checkout("small", "1.0", tmp_path / "nothing", tmp_path)
    plain = tmp_path / "plain"
    plain.mkdir()
    assert fetching.checkout("small", "1.0", plain, tmp_path) == plain


def test_what_hides_is_named_by_those_that_ship_their_source() -> None:
    for library in LIBRARIES.values():
        assert library.tests_in in ("installed", "sdist", "checkout")
        assert any(text.startswith(f"{library.name}=={library.version}") for text in library.requirements)
