"""The history's answers as plain values and as lines for a terminal."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from harness.history import questions
from harness.history.store import History

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


def lines(answer: dict[str, Any], case: str) -> list[str]:
    """The answer for a person."""
    told = ["failing, with the first bad run and driver build:"]
    for bad in answer["failing"]:
        build = f"build {bad['build'] or 'unknown'}"
        good = f", good was {bad['good_build']}" if bad["good_build"] else ", never seen to pass"
        runs = f"{bad['runs']} run{'s' if bad['runs'] > 1 else ''}"
        told.append(f"  {bad['guest']} x {bad['nic']}: {bad['test']}: {bad['sign'] or bad['reason']}")
        told.append(f"    since {bad['run']} ({bad['started']}), {build}{good}; {runs} in a row")
    if not answer["failing"]:
        told.append("  nothing")
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


def _trend(points: list[dict[str, Any]], case: str) -> list[str]:
    """One line per cell: a mark per run, oldest first."""
    rows: dict[str, list[str]] = {}
    for point in points:
        rows.setdefault(f"{point['guest']} x {point['nic']}", []).append(_MARK.get(point["status"], " "))
    told = [f"trend of {case}, oldest first (. passed, F failed, ? inconclusive):"]
    return told + ([f"  {name}: {''.join(marks)}" for name, marks in rows.items()] or ["  it was never run"])
