"""What would run, and the latest result of each cell, from the records under ``runs/``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.matrix.cells import Cell
from harness.report.results import FILE_NAME, CellResult, Results, load


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
    """All records under a folder, the latest first; what is not a record is passed over."""
    found = []
    for file in runs.glob(f"*/{FILE_NAME}"):
        try:
            found.append(load(file))
        except UsageError:
            continue
    yield from sorted(found, key=lambda results: results.run.started, reverse=True)


def latest(cells: Sequence[Cell], found: Iterable[Results]) -> list[Latest]:
    """The latest result of each cell, in the order of the cells."""
    seen: dict[Cell, Latest] = {}
    for results in found:
        for result in results.cells:
            cell = Cell(result.guest, result.nic)
            seen.setdefault(cell, Latest(cell, result, results.run.id, results.run.started))
    return [seen.get(cell, Latest(cell)) for cell in cells]
