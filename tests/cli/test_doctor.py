"""`hasten doctor` as a command."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from hasten.cli import doctor
from hasten.cli.main import main
from hasten.diagnosis.doctor import Examination, Finding
from hasten.diagnosis.machine import Fact

EXAMPLE = Examination(
    (Fact("hasten", "version", "1.0", "1.0"), Fact("limits", "files", 3, "word " * 30)),
    (Finding("files", "Too few.", "More."),),
)


def test_one_screen() -> None:
    text = doctor.as_text(EXAMPLE, 60)
    assert text.splitlines()[:2] == ["hasten", "  version         1.0"]
    assert max(map(len, text.splitlines())) <= 60
    assert text.endswith("to mend\n  1. Too few.\n     → More.")
    assert doctor.as_text(Examination(EXAMPLE.facts, ()), 60).endswith("\n\nNothing to mend was found.")


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"topic", "name", "value", "text"} == set(told["facts"][0])
    assert {fact["name"] for fact in told["facts"]} >= {"version", "Python", "compiled", "poller", "TLS", "DNS threads"}


def test_of_the_process_that_it_runs_in() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-m", "hasten", "doctor"],
        env={**os.environ, "HASTEN_POLER": "epoll"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "HASTEN_POLER is set" in done.stdout
    assert "Debug mode is on" in done.stdout
    assert done.stderr == ""


def test_no_facts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> Examination:
        raise OSError("nothing")

    monkeypatch.setattr(doctor, "examine", fails)
    assert main(["doctor"]) == 1
    assert capsys.readouterr().err == "hasten: the facts cannot be had: OSError: nothing\n"


def test_wrong_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "123"]) == 2
    assert "doctor has no argument '123'" in capsys.readouterr().err
