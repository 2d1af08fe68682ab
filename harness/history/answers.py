"""Collects the answers that ``harness history`` shows, and renders them as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from harness.history import questions
from harness.history.questions import FirstBad
from harness.history.store import History
from harness.results import groups
from harness.results.groups import Trouble

_MARK = {"passed": ".", "failed": "F", "inconclusive": "?", "skipped": "s"}


def collect(history: History, *, case: str, guest: str, nic: str, limit: int) -> dict[str, Any]:
    """Collect everything that the command shows, as JSON's types; with ``case`` its trend, else flakes and slowest."""
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
    """Render the answer for a person, with at most ``limit`` groups of failures that began in the same run."""
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
    told: list[str] = []
    for since in by_beginning([FirstBad(**bad) for bad in failing]):
        before = f", good was {since.good_build}" if since.good_build else ", never seen to pass"
        row = f"{since.runs} run{'s' if since.runs > 1 else ''} in a row"
        build = f"build {since.build or 'unknown'}"
        told.append(f"  since {since.run} ({since.started}), {build}{before}; {row}; {len(since.troubles)} failing:")
        told += [f"    {line}" for line in groups.told(since.troubles, limit, "cases (--limit, or name a case)")]
    return told


@dataclass(frozen=True, slots=True)
class Since:
    """The cases that have failed since one run, so one driver build may be to blame for all of them."""

    started: str
    run: str
    build: str
    good_build: str
    runs: int
    troubles: tuple[Trouble, ...]


def by_beginning(failing: Iterable[FirstBad]) -> list[Since]:
    """Group failures by the run in which they began, the latest first.

    A place names its guest or driver only if the failures have several of them.
    """
    failing = tuple(failing)
    guests, drivers = ({getattr(bad, name) for bad in failing} for name in ("guest", "driver"))
    since: dict[tuple[str, str, str, str], list[FirstBad]] = {}
    for bad in failing:
        since.setdefault((bad.started, bad.run, bad.build, bad.good_build), []).append(bad)
    return [
        Since(
            *began,
            max(bad.runs for bad in bads),
            tuple(_trouble(bad, guest=len(guests) > 1, driver=len(drivers) > 1) for bad in bads),
        )
        for began, bads in sorted(since.items(), reverse=True)
    ]


def _trouble(bad: FirstBad, *, guest: bool, driver: bool) -> Trouble:
    place = " x ".join([*([bad.guest] if guest else []), bad.nic, *([bad.driver] if driver else [])])
    looks = bad.sign or bad.reason
    missed = f" (not in the {bad.missed} later run{'s' if bad.missed > 1 else ''} of the cell)" if bad.missed else ""
    return Trouble(place, bad.test, looks + missed, looks.split(",")[0] + missed)


def _trend(points: list[dict[str, Any]], case: str) -> list[str]:
    """Render a line per case and cell: a mark per run, oldest first."""
    rows: dict[str, list[str]] = {}
    several = len({point["test"] for point in points}) > 1
    for point in points:
        name = f"{point['guest']} x {point['nic']}" + (f": {point['test']}" if several else "")
        rows.setdefault(name, []).append(_MARK.get(point["status"], " "))
    told = [f"trend of {case}, oldest first (. passed, F failed, ? inconclusive):"]
    return told + ([f"  {''.join(marks)}  {name}" for name, marks in sorted(rows.items())] or ["  it was never run"])
