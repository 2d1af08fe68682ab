"""Every command that writes into a folder of the user's choice leaves alone what the harness did not make."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli.app import run_app
from harness.errors import EXIT_USAGE
from harness.files import ownership
from harness.guests import catalogue
from harness.matrix import launch
from harness.results.record import CellResult, Results, RunInfo, write
from harness.results.status import Status

COMMANDS = (
    "run -o theirs",
    "defects --only loss -o theirs",
    "driver build -o theirs",
    "nightly --units theirs",
    "merge shard -o theirs",
    "shell -o theirs",
    "bench readers --folder theirs",
    "replay run --pack -o theirs/results.json",
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("theirs", "shard", "run"):
        (tmp_path / name).mkdir()
    for name in ("results.json", "defects.json", "wsksend.sys", "harness-nightly.service", "acceptance.txt"):
        (tmp_path / "theirs" / name).write_text('{"of": "another tool"}')
    write(
        Results(RunInfo("r", "2026-01-01T00:00:00+00:00"), (CellResult("wine", "e1000", Status.PASSED),)),
        tmp_path / "shard",
    )
    (tmp_path / "run" / "cells" / "c").mkdir(parents=True)
    (tmp_path / "run" / "cells" / "c" / "operations.jsonl").write_text("{}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launch, "execute", lambda *arguments: pytest.fail("a run began"))
    monkeypatch.setattr(launch, "prepare", lambda *arguments: pytest.fail("a run began"))
    monkeypatch.setattr(catalogue, "prepare_guest", lambda *arguments: pytest.fail("a run began"))
    return tmp_path


@pytest.mark.parametrize("line", COMMANDS)
def test_a_strangers_folder_stays_as_it_is(line: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_text() for path in (place / "theirs").iterdir()}
    assert run_app(line.split()) == EXIT_USAGE
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("harness: theirs")
    assert {path.name: path.read_text() for path in (place / "theirs").iterdir()} == before


def test_the_second_of_two_runs_into_one_folder_is_refused(place: Path) -> None:
    with ownership.claimed(place / "out"):
        argv = [sys.executable, "-m", "harness", "run", "--no-install", "--nic", "e1000", "-o", str(place / "out")]
        second = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == EXIT_USAGE
    (told,) = second.stderr.splitlines()
    assert "another process of the harness works in" in told
