"""Renders ``summary.md``: a night or a run in a few lines, for a chat or a merge request."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from harness.printable import line
from harness.report.table import closing_line
from harness.results.groups import told
from harness.results.record import Results
from harness.results.status import Status

if TYPE_CHECKING:
    from harness.history.compare import Change, Comparison

FILE_NAME = "summary.md"
_SIGN = {Status.PASSED: "✅", Status.FAILED: "❌", Status.INCONCLUSIVE: "❔", Status.SKIPPED: "⏭"}
_MOST = 15


def render(results: Results, comparison: Comparison | None = None) -> str:
    """Return the text: the verdict, the changes since earlier nights, then a table with a row per cell."""
    lines = [
        f"### {_SIGN[results.status]} {closing_line(results)}",
        "",
        f"Run `{line(results.run.id)}`, {line(results.run.started)}.",
    ]
    names = results.titles()
    several = any(len(name) > 2 for name in names)
    if results.run.interrupted:
        lines += ["", "**It was interrupted.**"]
    if comparison is not None:
        titles = {
            "new": "New failures",
            "uncompared": "Failures (no history to compare with)",
            "missing": "Without a verdict",
            "flaky": "Flaky",
            "still": "Failing since earlier",
            "known": "Known failures",
            "fixed": "Fixed",
        }
        for name, title in titles.items():
            lines += _section(title, getattr(comparison, name), driver=several)
        lines += [f"- known failure that did not occur: {_plain(text)}" for text in comparison.unneeded]
    lines += ["", "| cell | | passed | failed | inconclusive | seconds |", "| --- | --- | ---: | ---: | ---: | ---: |"]
    for cell, names_of in zip(results.cells, names, strict=True):
        counts = Counter(case.status for case in cell.cases)
        name = " x ".join(map(_plain, names_of))
        name += f" ({_plain(cell.reason)})" if cell.reason else ""
        numbers = (counts[status] for status in (Status.PASSED, Status.FAILED, Status.INCONCLUSIVE))
        fields = " | ".join(str(number or "") for number in numbers)
        lines.append(f"| {name} | {_SIGN[cell.status]} | {fields} | {cell.timings.get('total', 0.0):.1f} |")
    return "\n".join(lines) + "\n"


def _section(title: str, changes: tuple[Change, ...], *, driver: bool) -> list[str]:
    if not changes:
        return []
    lines = told([each.trouble(driver=driver) for each in changes], _MOST, "")
    return ["", f"**{title}: {len(changes)}**", "", *(f"- {_plain(line)}" for line in lines)]


def _plain(text: str) -> str:
    """Escape Markdown in a text from a run, join its lines (a table's row must stay one) and keep 300 characters."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in line(" ".join(text.split())))[
        :300
    ]
