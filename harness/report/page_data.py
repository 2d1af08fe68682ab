"""Builds the data of ``index.html`` as compact JSON, from the record and the history if there is one. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from harness.files import inside
from harness.history import questions
from harness.history.answers import by_beginning
from harness.history.store import History, sign
from harness.report.table import closing_line
from harness.results.groups import Trouble, grouped, looks
from harness.results.record import CaseResult, CellResult, Results
from harness.results.status import Status

_STATUSES = tuple(Status)
_RUNS = 40
_TRENDS = 60


def build(results: Results, history: History | None = None, consoles: dict[str, str] | None = None) -> dict[str, Any]:
    """Build the page's data.

    Args:
        results: the record.
        history: earlier runs, for trends.
        consoles: end of the guest's console by cell folder.
    """
    tests: dict[str, int] = {}
    rows: list[tuple[str, str, str]] = []
    for cell in results.cells:
        for case in cell.cases:
            if case.id not in tests:
                tests[case.id] = len(rows)
                rows.append((case.id, case.group, case.name))
    return {
        "status": str(results.status),
        "closing": closing_line(results),
        "run": asdict(results.run),
        "statuses": [str(status) for status in _STATUSES],
        "cells": [_cell(cell, (consoles or {}).get(cell.folder, "")) for cell in results.cells],
        "tests": rows,
        "cases": [[_case(case, tests[case.id]) for case in cell.cases] for cell in results.cells],
        "alike": _alike(results, tests),
        "history": _history(results, history) if history is not None else None,
    }


def _alike(results: Results, tests: dict[str, int]) -> list[list[list[int]]]:
    """Group similar cases that failed or are inconclusive; each case is a pair (index of cell, index of test)."""
    members, troubles = [], []
    for status in (Status.FAILED, Status.INCONCLUSIVE):
        for at, cell in enumerate(results.cells):
            for case in cell.cases:
                if case.status is status:
                    members.append([at, tests[case.id]])
                    troubles.append(Trouble(str(at), case.id, case.told(), f"{status} {looks(case.told())}"))
    return [[members[index] for index in group.members] for group in grouped(troubles)]


def _cell(cell: CellResult, console: str) -> dict[str, Any]:
    """Return the cell without its cases; ``links`` holds URLs made here, because the record's own texts are no URLs."""
    made = asdict(cell)
    del made["cases"], made["files"]
    paths = {kind: inside.evidence(cell.folder, name) for kind, name in cell.evidence.items() if cell.folder}
    return {**made, "console": console, "links": {kind: inside.url(path) for kind, path in paths.items() if path}}


def _case(case: CaseResult, test: int) -> list[Any]:
    """Return a case as a list: indexes of test and status, seconds, frames, datagrams, then a dict of details if any.

    A pass has details only if it has earlier attempts or observations.
    """
    short = [test, _STATUSES.index(case.status), case.seconds, case.evidence.get("frames", ""), case.datagrams.line()]
    if case.status is Status.PASSED and not case.earlier and not case.observed:
        return short
    more = {
        "reason": case.reason,
        "sign": sign(case),
        "findings": [asdict(finding) for finding in case.findings],
        "explained": list(case.explained),
        "observed": [asdict(each) for each in case.observed],
        "background": case.background,
        "evidence": case.evidence,
        "earlier": [asdict(attempt) | {"link": _folder_link(attempt.folder)} for attempt in case.earlier],
    }
    return [*short, {name: value for name, value in more.items() if value}]


def _folder_link(folder: str) -> str:
    return f"{inside.url(folder)}/" if inside.is_cell_folder(folder) else ""


def _history(results: Results, history: History) -> dict[str, Any]:
    runs = [
        {
            "guest": guest,
            "nic": nic,
            "runs": [[run, status, timings.get("total", 0.0)] for run, status, timings in past],
        }
        for (guest, nic), past in questions.timings(history, runs=_RUNS).items()
    ]
    bad = questions.first_bad(history)
    flakes = questions.flakes(history, limit=30)
    wanted = dict.fromkeys([each.test for each in bad] + [each.test for each in flakes])
    trends = []
    for test in list(wanted)[:_TRENDS]:
        for point in questions.trend(history, test, limit=400):
            if point.test == test:  # `trend` also answers with cases whose id contains this one
                trends.append([test, point.guest, point.nic, point.run, point.status, point.seconds])
    return {
        "cells": runs,
        "failing": [
            {
                "began": [since.run, since.build, since.good_build, since.runs],
                "rows": [
                    [group.where(), group.case(), group.first.told, len(group.members)]
                    for group in grouped(since.troubles)
                ],
            }
            for since in by_beginning(bad)
        ],
        "flakes": [asdict(each) | {"rate": each.rate} for each in flakes],
        "slowest": [asdict(each) for each in questions.slowest(history, limit=15)],
        "trends": trends,
    }
