"""Prints the end of a run on a terminal: a table of case groups by cell, then the problems, then one closing line.

If the cells do not fit side by side, the table has a row per cell, with counts by status instead of case groups.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.printable import line as line_of
from harness.printable import marked_up as escape
from harness.results.groups import Trouble, told
from harness.results.record import CaseResult, CellResult, Results
from harness.results.status import Status, worst

STYLE = {Status.PASSED: "green", Status.FAILED: "bold red", Status.INCONCLUSIVE: "yellow", Status.SKIPPED: "dim"}
_ANY_WIDTH = 10_000
_MAX_TOLD = 20  # groups of cases on the terminal; all cases are in the report
_MAX_EVIDENCE = 12  # lines of a console or log under the error of a cell


def show(results: Results, console: Console, folder: Path | None = None) -> None:
    """Print the whole outcome of a run."""
    console.print()
    table = matrix(results)
    width = console.measure(table, options=console.options.update(width=_ANY_WIDTH)).maximum
    console.print(table if width <= console.width else cells(results))
    console.print()
    for line in problems(results):
        console.print(line, markup=True, highlight=False, soft_wrap=True)
    console.print(closing_line(results), highlight=False, soft_wrap=True)
    if folder is not None:
        console.print(line_of(f"report: {folder / 'index.html'}"), highlight=False, soft_wrap=True, markup=False)


def matrix(results: Results) -> Table:
    """Build a table with a row per case group and a column per cell; a field counts the cases of the worst status."""
    table = Table(box=None, pad_edge=False)
    table.add_column("cases")
    for words in _names(results):
        table.add_column("\n".join(map(escape, words)), justify="right")
    groups = list(dict.fromkeys(case.group for cell in results.cells for case in cell.cases))
    for group in groups:
        fields = [_field([case for case in cell.cases if case.group == group]) for cell in results.cells]
        table.add_row(escape(group.removeprefix("test_").replace("_", " ")), *fields)
    table.add_row("[bold]all[/]", *(_total(cell) for cell in results.cells), end_section=True)
    table.add_row("[dim]seconds[/]", *(f"[dim]{cell.timings.get('total', 0.0):.1f}[/]" for cell in results.cells))
    return table


def cells(results: Results) -> Table:
    """Build a table with a row per cell and a column per status that holds the number of cases."""
    table = Table(box=None, pad_edge=False)
    table.add_column("cell")
    met = [status for status in Status if any(case.status is status for cell in results.cells for case in cell.cases)]
    for title in (*map(str, met), "all", "seconds"):
        table.add_column(title, justify="right")
    for cell, words in zip(results.cells, _names(results), strict=True):
        counts = Counter(case.status for case in cell.cases)
        fields = [f"[{STYLE[status]}]{counts[status]}[/]" if counts[status] else "[dim]-[/]" for status in met]
        seconds = f"[dim]{cell.timings.get('total', 0.0):.1f}[/]"
        table.add_row(escape(" x ".join(words)), *fields, _total(cell), seconds)
    return table


def _names(results: Results) -> list[list[str]]:
    """Return the words that name each cell: its NIC, and its guest and driver if the run has several of them."""
    several = len({cell.guest for cell in results.cells}) > 1
    return [list(title if several else title[1:]) for title in results.titles()]


def _field(cases: list[CaseResult]) -> str:
    if not cases:
        return "[dim]-[/]"
    counts = Counter(case.status for case in cases)
    status = worst(counts)
    if status in (Status.PASSED, Status.SKIPPED):
        return f"[{STYLE[status]}]{counts[status]} {status}[/]"
    return f"[{STYLE[status]}]{counts[status]} of {len(cases)} {status}[/]"


def _total(cell: CellResult) -> str:
    return f"[{STYLE[cell.status]}]{cell.word}[/]"


def problems(results: Results) -> list[str]:
    """Return lines with rich markup: cells that went wrong, with evidence; failed cases; inconclusive cases.

    Similar cases share a line.
    """
    lines: list[str] = []
    for cell in results.cells:
        if cell.reason and cell.status is not Status.PASSED:
            evidence = [f"\n    [dim]{escape(line)}[/]" for line in cell.detail.splitlines()[-_MAX_EVIDENCE:]]
            first = cell.reason.splitlines()[0]
            lines.append(_problem(cell.status, f"{cell.guest} x {cell.nic}: {first}", cell.word) + "".join(evidence))
    for status in (Status.FAILED, Status.INCONCLUSIVE):
        troubles = [
            Trouble(" x ".join(words), case.id, case.told())
            for cell, words in zip(results.cells, _names(results), strict=True)
            for case in cell.cases
            if case.status is status
        ]
        lines += [_problem(status, line) for line in told(troubles, _MAX_TOLD, "cases, in the report")]
    return lines


def _problem(status: Status, line: str, word: str = "") -> str:
    return f"[{STYLE[status]}]{word or status}[/] {escape(line)}"


def closing_line(results: Results) -> str:
    """Return the counts of cases by status, worded like pytest's closing line: "58 passed, 2 failed"."""
    counts = results.counts()
    named = [f"{number} {status}" for status, number in counts.items() if number]
    cells = sum(1 for cell in results.cells if cell.fault not in ("", "user"))
    if cells:
        named.append(f"{cells} {'cell' if cells == 1 else 'cells'} without an end")
    return ", ".join(named) or "nothing was run"
