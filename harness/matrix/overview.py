"""What would run, and the latest result of each cell, from the records under ``runs/``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness.cell.job import Cell
from harness.errors import UsageError
from harness.history import questions
from harness.history.store import History
from harness.matrix.select import Planned
from harness.results.record import FILE_NAME, CellResult, Results, load, load_run
from harness.results.status import Status


@dataclass(frozen=True, slots=True)
class Latest:
    """A cell and what its latest run said; ``result`` is ``None`` when it has not run yet."""

    cell: Cell
    result: CellResult | None = None
    run: str = ""
    started: str = ""

    def line(self) -> str:
        """The cell as one line."""
        if self.result is None:
            return f"{self.cell}: not run yet"
        passed = sum(case.status == "passed" for case in self.result.cases)
        reason = f": {self.result.reason}" if self.result.reason else ""
        return f"{self.cell}: {self.result.status}, {passed} of {len(self.result.cases)} passed, {self.started}{reason}"


def records(runs: Path) -> Iterator[Results]:
    """All records under a folder, the latest first, each read when it is asked for; what is none is passed over."""
    for file in sorted_records(runs, "*"):
        with contextlib.suppress(UsageError):
            yield load(file)


def sorted_records(runs: Path, pattern: str) -> list[Path]:
    """The records in folders of such a name, those of the latest runs first."""
    found = []
    for file in runs.glob(f"{pattern}/{FILE_NAME}"):
        with contextlib.suppress(UsageError):
            found.append((load_run(file).started, file))
    return [file for _, file in sorted(found, reverse=True)]


def latest(cells: Sequence[Cell], found: Iterable[Results]) -> list[Latest]:
    """The latest result of each cell, in the order of the cells."""
    seen: dict[Cell, Latest] = {}
    for results in found:
        for result in results.cells:
            if result.status is Status.SKIPPED and not result.cases:
                continue
            for driver in ("", result.driver):  # a cell without a label means any build
                cell = Cell(result.guest, result.nic, driver)
                seen.setdefault(cell, Latest(cell, result, results.run.id, results.run.started))
        if seen.keys() >= set(cells):
            break
    return [replace(seen[cell], cell=cell) if cell in seen else Latest(cell) for cell in cells]


@dataclass(frozen=True, slots=True)
class Row:
    """A cell of the matrix: what a run would do with it, how long it takes, and what its latest run said."""

    planned: Planned
    seconds: float | None
    latest: Latest

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON's types."""
        row = asdict(self.latest)
        return {**row, "name": str(self.planned.cell), "skip": self.planned.skip, "estimate": self.seconds}

    def line(self) -> str:
        """The row as one line."""
        about = f", about {self.seconds:.0f} s" if self.seconds is not None and not self.planned.skip else ""
        skip = f"skipped, {self.planned.skip}; " if self.planned.skip else ""
        return self.latest.line().replace(f"{self.latest.cell}: ", f"{self.planned.cell}: {skip}", 1) + about


def rows(planned: Sequence[Planned], history: History | None, found: Iterable[Results]) -> list[Row]:
    """One row per cell of the matrix, skipped or not."""
    seconds = questions.estimates(history) if history is not None else {}
    seen = latest([each.cell for each in planned], found)
    return [
        Row(each, seconds.get((each.cell.guest, each.cell.nic)), last) for each, last in zip(planned, seen, strict=True)
    ]


def lines(found: Sequence[Row]) -> list[str]:
    """The rows, and what they come to."""
    running = [row for row in found if not row.planned.skip]
    known = [row.seconds for row in running if row.seconds is not None]
    closing = f"{len(running)} of {len(found)} cells would run"
    if known:
        unknown = f", {len(running) - len(known)} not known" if len(known) < len(running) else ""
        closing += f"; about {sum(known):.0f} s one after another{unknown}"
    return [*(row.line() for row in found), closing]
