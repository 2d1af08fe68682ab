"""``index.html``: the run as one self-contained page, made from ``results.json`` and nothing else."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.history.store import History
from harness.report.results import CaseResult, CellResult, Results, write_text
from harness.report.status import Status, worst
from harness.report.table import closing_line

FILE_NAME = "index.html"


def render(results: Results) -> str:
    """The page as text. Everything that comes from a run is escaped: a driver's output is not markup."""
    environment = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(anchor=anchor, worst=worst, Status=Status)
    return environment.get_template("index.html.j2").render(
        results=results, closing=closing_line(results), groups=groups(results)
    )


def write(results: Results, folder: Path, history: History | None = None) -> Path:
    """Write ``index.html`` into the run's folder."""
    return write_text(folder / FILE_NAME, render(results))


def groups(results: Results) -> dict[str, dict[str, list[CaseResult | None]]]:
    """Case group -> case name -> that case in each cell, ``None`` where the cell has no such case."""
    table: dict[str, dict[str, list[CaseResult | None]]] = {}
    for column, cell in enumerate(results.cells):
        for case in cell.cases:
            row = table.setdefault(case.group, {}).setdefault(case.name, [None] * len(results.cells))
            row[column] = case
    return table


def anchor(cell: CellResult, case: CaseResult | None = None) -> str:
    """Fragment identifier of a cell or of a case in it."""
    parts = (cell.guest, cell.nic) if case is None else (cell.guest, cell.nic, case.id)
    return "--".join("".join(letter if letter.isalnum() else "-" for letter in part) for part in parts)
