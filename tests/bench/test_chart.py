"""Charts and tables that the benchmark puts into documents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import charts, report
from bench.chart import WIDTH, bar, chart, picture
from bench.results import Results

LOOPS = ("asyncio", "uvloop", "hasten")
MACHINE = {"date": "2026-01-02", "processor": "a processor", "cores": 2, "system": "Linux"}


def results(**figures: list[float]) -> Results:
    """Rounds of `timers`, in nanoseconds by contender; an empty list: all of them failed."""
    meta = {
        "machine": {**MACHINE, "python": "3.13.0", "build": "gcc"},
        "versions": {"uvloop": "1.2", "hasten": "3.4", "aiohttp": "5"},
        "rounds": 3,
        "contenders": list(figures),
        "absent": {},
        "quick": False,
        "uncompiled": [],
    }
    runs = []
    for contender, values in figures.items():
        run = {"workload": "timers", "contender": contender}
        runs += [{**run, "figures": {"cpu_ns": value, "calibration": 1e6}} for value in values]
        if not values:
            runs.append({**run, "failure": "crash", "why": "on purpose"})
    return Results(meta, runs)


def test_bars_are_as_long_as_their_figures() -> None:
    assert bar(1.0) == "█" * WIDTH
    assert bar(0.5) == "█" * (WIDTH // 2)
    assert bar(1.5 / WIDTH) == "█▌"
    assert bar(0.0) == "▏"  # something is seen of the shortest too


def test_a_chart_has_a_line_for_each_loop_and_says_how_much_less() -> None:
    drawn = chart(results(asyncio=[4000.0] * 3, uvloop=[2000.0] * 3, hasten=[400.0, 500.0, 600.0]), ["timers"])
    lines = [line for line in drawn.splitlines() if "█" in line]
    assert [line.split()[0] for line in lines] == ["asyncio", "uvloop", "hasten"]
    assert [line.count("█") for line in lines] == [WIDTH, WIDTH // 2, WIDTH // 8]
    assert lines[1].endswith(" 2.00 µs")
    assert lines[2].endswith(" 500 ns ±20%, 4.0 times less than uvloop")
    assert "Medians of 3 interleaved rounds on 2026-01-02: Python 3.13.0, uvloop 1.2, hasten 3.4; a processor." in drawn


def test_what_has_no_figure_is_named() -> None:
    drawn = chart(results(asyncio=[4000.0], uvloop=[], hasten=[500.0]), ["timers"])
    assert "   uvloop  no figure\n" in drawn
    assert "times less" not in drawn


def test_a_document_takes_a_chart_and_a_table(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(
        "<!-- bench:begin chart=timers -->\nold\n<!-- bench:end -->\n"
        "between\n<!-- bench:begin rows=timers -->\nold\n<!-- bench:end -->\n"
    )
    measured = results(asyncio=[4000.0], uvloop=[2000.0], hasten=[500.0])
    measured.meta["quick"] = True
    assert report.write(measured, document) == 2
    first, second = document.read_text().split("between")
    assert "old" not in first + second
    assert ["```text" in half for half in (first, second)] == [True, False]
    assert ["| workload |" in half for half in (first, second)] == [False, True]
    assert all("A quick run" in half for half in (first, second))


def test_an_option_that_it_does_not_know_is_refused(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("<!-- bench:begin colour=red -->\n<!-- bench:end -->\n")
    with pytest.raises(ValueError, match=r"no option colour; it has rows=, chart=, picture= and python="):
        report.write(results(), document)


def test_a_document_takes_a_picture_and_its_figures_in_words(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("<!-- bench:begin chart=timers picture=timers.svg -->\nold\n<!-- bench:end -->\n")
    assert report.write(results(asyncio=[4000.0], uvloop=[2000.0], hasten=[500.0]), document) == 1
    text, svg = document.read_text(), (tmp_path / "timers.svg").read_text()
    assert "asyncio 4.00 µs, uvloop 2.00 µs, hasten 500 ns, 4.0 times less than uvloop](timers.svg)" in text
    assert "Medians of 3 interleaved rounds" in text
    lengths = {colour: float(re.search(rf'class="{colour}" x="74".* width="([\d.]+)"', svg)[1]) for colour in LOOPS}
    assert lengths["uvloop"] == pytest.approx(lengths["asyncio"] / 2, abs=0.1)
    assert lengths["hasten"] == pytest.approx(lengths["asyncio"] / 8, abs=0.1)
    assert "prefers-color-scheme:dark" in svg


def test_the_charts_show_what_was_measured() -> None:
    """They are what the script draws now, of the figures that stand in the documents and in bench/recorded."""
    page = charts.PAGE.read_text("utf-8")
    for name, svg in charts.pictures(page).items():
        assert (charts.CHARTS / name).read_text("utf-8") == svg, "python -m bench.charts draws it anew"
        assert f"](charts/{name})" in page
    svg, words = picture(Results.load(charts.RECORDED), ["create_task", "sleep0_1", "future_pingpong", "timers"])
    assert (charts.CHARTS / "tasks.svg").read_text("utf-8") == svg
    assert all(words in document.read_text("utf-8") for document in charts.DOCUMENTS)
