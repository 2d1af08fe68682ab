"""Whatever lies where a command looks for a file: one clear line, exit code 2 or 3, nothing changed, no waiting."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.cli.app import run_app
from harness.results.record import CellResult, Results, RunInfo, write
from harness.results.status import Status
from tests.corpus import hostile
from tests.corpus.story import write_plan

SECONDS = 20  # of any command here: a FIFO that nobody writes would make it wait for ever


def _a_folder_with_a_note(path: Path) -> None:
    path.mkdir()
    (path / "notes.txt").write_text("mine")


def _a_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def _not_for_reading(path: Path) -> None:
    path.symlink_to("/proc/self/mem")  # a plain file by its mode, whose reading fails, for root, too


WHAT: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "folder": Path.mkdir,
    "full folder": _a_folder_with_a_note,
    "empty": lambda path: path.write_bytes(b""),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 40),
    "zeros": lambda path: path.write_bytes(bytes(5000)),
    "text": lambda path: path.write_text("notes\n"),
    "fifo": os.mkfifo,
    "loop": _a_link_to_itself,
    "unreadable": _not_for_reading,
    "device": lambda path: path.symlink_to("/dev/zero"),
}
READ = (
    "verify {} --plan good.jsonl",
    "verify good.pcapng --plan {}",
    "verify {} --plan {} --reader tshark",
    "replay {}",
    "replay {} --json",
    "replay {} --pack -o packed.zip",
    "merge {} -o merged",
    "history --history {}",
    "matrix --config {}",
    "run --config {} --nic nonsense",
    "run --suite {}::test_a --nic nonsense",
    "run --nic-driver {} --guest wine --nic nonsense",
    "nightly --known {} --nic nonsense",
    "nightly --config {} --nic nonsense",
    "bisect {}",
    "image info {}",
    "run --adapter {}.py:Class",
    "worker tls://127.0.0.1:9 --certificates {}",
)
"""Commands, with the path that they read in the place of {}. None of them starts a guest."""
FINE = {("history --history {}", "missing"), ("history --history {}", "empty"), ("matrix --config {}", "empty")}
"""What is answered: a history and a configuration may have nothing in them yet."""
WRITTEN = (
    "merge run -o {}",
    "run --nic e1000 -o {} --suite good.py",
    "shell -o {}",
    "nightly --units {}",
    "worker --certificates {}",
    "replay run --pack -o {}",
)
"""Commands, with the path that they write in the place of {}."""


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    def late(*_: object) -> None:
        raise AssertionError("the command waits")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (folder / "good.pcapng").write_bytes(hostile.sound()[0])
    write_plan(folder / "good.jsonl")
    return folder


def tree(folder: Path) -> list[tuple[str, int, int]]:
    return sorted((str(path), path.lstat().st_mode, path.lstat().st_size) for path in folder.rglob("*"))


@pytest.mark.parametrize("what", WHAT)
@pytest.mark.parametrize("command", READ)
def test_what_cannot_be_read_is_one_line(
    command: str, what: str, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    WHAT[what](work / "odd")
    before = tree(work)
    code = run_app(command.replace("{}", "odd").split())
    told = capsys.readouterr().err
    if (command, what) not in FINE:
        assert code in (2, 3), told
        (line,) = told.splitlines()
        assert line.startswith("harness: ")
        assert "error in the harness" not in line
    assert tree(work) == before


@pytest.mark.parametrize("what", ["full folder", "binary", "fifo", "loop", "device"])
@pytest.mark.parametrize("command", WRITTEN)
def test_what_cannot_be_written_is_one_line(
    command: str, what: str, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    WHAT[what](work / "odd")
    (work / "good.py").write_text("def test_a(wsk): pass\n")
    (work / "run").mkdir()
    cell = CellResult("wine", "e1000", Status.PASSED)
    write(Results(RunInfo("r1", "2026-01-01T00:00:00+00:00"), (cell,)), work / "run")
    before = tree(work)
    code = run_app(command.replace("{}", "odd").split())
    told = capsys.readouterr().err
    assert code in (2, 3), told
    (line,) = told.splitlines()
    assert line.startswith("harness: ")
    assert "error in the harness" not in line
    assert tree(work) == before
