"""The record of a run while it grows: written after every cell, read again by a run that goes on after a kill.

A run may go on only with what it began with: the same cells, suite, drivers and images, as ``plan.json`` has it.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from pathlib import Path

from harness.cell import adapter_names
from harness.cell.job import Cell, CellJob
from harness.errors import UsageError
from harness.files.removal import write_whole
from harness.results.record import FILE_NAME, CellResult, Results, RunInfo, load, write
from harness.results.status import Status

PLAN_FILE = "plan.json"


class Ledger:
    """Results by cell, on disk as they come.

    Args:
        run: what the record says of the run.
        order: all cells, in the order of the record.
        folder: the run's folder.
        done: results that are there already.
    """

    def __init__(self, run: RunInfo, order: Sequence[Cell], folder: Path, done: dict[Cell, CellResult]) -> None:
        self.run = run
        self._order = order
        self._folder = folder
        self._done = dict(done)
        self._lock = threading.Lock()

    def add(self, cell: Cell, result: CellResult) -> None:
        """Take a result and write the record; from any thread."""
        with self._lock:
            self._done[cell] = result
            write(self.results(), self._folder)

    def get(self, cell: Cell) -> CellResult | None:
        """The result of a cell, if there is one."""
        return self._done.get(cell)

    def results(self) -> Results:
        """The record so far."""
        return Results(self.run, tuple(self._done[cell] for cell in self._order if cell in self._done))


def digest(jobs: Sequence[CellJob]) -> str:
    """What a run is made of, in one word: cells, images, arguments, and the bytes of suites, drivers and adapters."""
    parts = []
    for job in jobs:
        suite = [[str(path), *map(_bytes, _tests(path))] for path in job.suite]
        files = [_bytes(path) for path in (job.driver, job.verifier, adapter_names.file_of(job.adapter))]
        asked = [list(job.pytest_args), list(job.only), repr(job.windows), job.adapter, job.memory_mib, job.timeout]
        parts.append([str(job.cell), job.image, suite, files, *asked])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _tests(path: Path) -> list[Path]:
    """The Python files of a suite, which is one itself, perhaps with a case's name behind it, or a folder of them."""
    return sorted(path.rglob("*.py")) if path.is_dir() else [Path(str(path).split("::", 1)[0])]


def _bytes(path: Path | None) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path is not None and path.is_file() else ""


def begin(folder: Path, plan: str) -> None:
    """Note what the run in this folder is made of."""
    write_whole(folder / PLAN_FILE, json.dumps({"schema": 1, "plan": plan}) + "\n")


def recorded(folder: Path, plan: str, *, ended: bool) -> Results | None:
    """The record of a run of the same plan in this folder, of one that has ended only if ``ended``; else ``None``."""
    try:
        if json.loads((folder / PLAN_FILE).read_text())["plan"] != plan:
            return None
        results = load(folder / FILE_NAME)
    except (OSError, ValueError, KeyError, TypeError, UsageError):
        return None
    return results if ended or not results.run.ended or results.run.interrupted else None


def finished(result: CellResult) -> bool:
    """Whether a cell's verdict stands: what the kill itself took down does not."""
    return not (result.status is Status.INCONCLUSIVE and result.fault == "lab")
