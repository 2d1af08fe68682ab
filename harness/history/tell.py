"""The history's answers as plain values and as lines for a terminal."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from harness.history import questions
from harness.history.store import History
from harness.report import groups
from harness.report.groups import Trouble

_MARK = {"passed": ".", "failed": "F", "inconclusive": "?", "skipped": "s"}


def collect(history: History, *, case: str, guest: str, nic: str, limit: int) -> dict[str, Any]:
    """Everything that the command shows, as JSON's types."""
    answer: dict[str, Any] = {
        "failing": [
            asdict(bad)
            for bad in questions.first_bad(history, test=case)
            if guest in ("", bad.guest) and nic in ("", bad.nic)
        ],
        "flakes": [asdict(flake) | {"rate": flake.rate} for flake in questions.flakes(history, limit=limit)],
        "slowest": [asdict(slow) for slow in questions.slowest(history, limit=limit)],
    }
    if case:
        points = questions.trend(history, case, guest=guest, nic=nic)
        answer = {"failing": answer["failing"], "trend": [asdict(point) for point in points]}
    return answer


def lines(answer: dict[str, Any], case: str, limit: int = 20) -> list[str]:
    """The answer for a person; of what has failed since the same run at most ``limit`` kinds are told."""
    told = ["failing, with the first bad run and driver build:", *(_failing(answer["failing"], limit) or ["  nothing"])]
    if "trend" in answer:
        return told + _trend(answer["trend"], case)
    told.append("flaky (changed its verdict on one driver build):")
    for flake in answer["flakes"]:
        share = f"{flake['changes']} changes in {flake['runs']} runs"
        told.append(f"  {flake['rate']:4.0%}  {flake['guest']} x {flake['nic']}: {flake['test']} ({share})")
    told += [] if answer["flakes"] else ["  nothing"]
    told.append("slowest (mean seconds):")
    told += [f"  {slow['mean']:6.2f}  {slow['test']} (longest {slow['longest']:.2f})" for slow in answer["slowest"]]
    return told


def _failing(failing: list[dict[str, Any]], limit: int) -> list[str]:
    """Failures by the run that they began with, the latest first: so much as a driver build is to blame for."""
    since: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for bad in failing:
        since.setdefault((bad["started"], bad["run"], bad["build"], bad["good_build"]), []).append(bad)
    told: list[str] = []
    for (started, run, build, good), bads in sorted(since.items(), reverse=True):
        before = f", good was {good}" if good else ", never seen to pass"
        runs = max(bad["runs"] for bad in bads)
        row = f"{runs} run{'s' if runs > 1 else ''} in a row"
        told.append(f"  since {run} ({started}), build {build or 'unknown'}{before}; {row}; {len(bads)} failing:")
        troubles = [_trouble(bad) for bad in bads]
        told += [f"    {line}" for line in groups.told(troubles, limit, "cases (--limit, or name a case)")]
    return told


def _trouble(bad: dict[str, Any]) -> Trouble:
    looks = bad["sign"] or bad["reason"]
    runs = f"{bad['missed']} later run{'s' if bad['missed'] > 1 else ''}"
    missed = f" (not in the {runs} of the cell)" if bad["missed"] else ""
    return Trouble(f"{bad['guest']} x {bad['nic']}", bad["test"], looks + missed, looks.split(",")[0] + missed)


def _trend(points: list[dict[str, Any]], case: str) -> list[str]:
    """One line per cell: a mark per run, oldest first."""
    rows: dict[str, list[str]] = {}
    for point in points:
        rows.setdefault(f"{point['guest']} x {point['nic']}", []).append(_MARK.get(point["status"], " "))
    told = [f"trend of {case}, oldest first (. passed, F failed, ? inconclusive):"]
    return told + ([f"  {name}: {''.join(marks)}" for name, marks in rows.items()] or ["  it was never run"])
