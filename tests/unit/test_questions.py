"""A command that asks a question writes nothing: neither where it is called nor into the cache, nor over its inputs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.history.store import opened
from harness.results.record import CellResult, Results, RunInfo, write
from harness.results.status import Status

QUESTIONS = (
    "matrix",
    "matrix --history history.sqlite",
    "matrix --history notes.txt",
    "history",
    "history --history history.sqlite",
    "history --history notes.txt",
    "history test_a --json",
    "verify notes.txt --plan notes.txt",
    "verify missing --plan missing",
    "replay notes.txt",
    "replay run",
    "doctor",
    "doctor --json",
    "driver check notes.txt",
    "accept --list",
    "image list",
    "image info nothing",
    "merge notes.txt -o all",
    "run --nic nonsense",
    "run --history notes.txt",
    "run --suite missing -o made",
    "nightly --history notes.txt --nic nonsense",
    "bisect missing",
    "--version",
)


def everything(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = (status.st_mode, 0 if path.is_dir() else status.st_mtime_ns, content)
    return found


@pytest.fixture
def place(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "home").mkdir()
    (work / "notes.txt").write_text("mine\n")
    (work / "runs").mkdir()
    run = Results(RunInfo("r1", "2026-01-01T00:00:00+00:00"), (CellResult("wine", "e1000", Status.PASSED),))
    for path in (work / "history.sqlite", work / "runs" / "history.sqlite"):
        with opened(path, pytest.fail) as history:
            history.add(run)
    (work / "run").mkdir()
    write(run, work / "run")
    return tmp_path


@pytest.mark.parametrize("line", QUESTIONS)
def test_a_question_writes_nothing(place: Path, line: str) -> None:
    before = everything(place)
    environment = os.environ | {"HOME": str(place / "home"), "XDG_CACHE_HOME": str(place / "home" / "cache")}
    argv = [sys.executable, "-m", "harness", *line.split()]
    done = subprocess.run(argv, cwd=place / "work", env=environment, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    assert everything(place) == before, done.stderr
