"""What a worker leaves that a test took down: the case that ran, its stack, and the cases that were collected.

A test that hangs in C code cannot be broken into; the worker then writes the stacks of all threads (faulthandler's
format) and ends (``harness.cell.deadline``). So it does when C code that a test calls crashes. The parent makes the
case's result of that.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from harness.cell.events import Begun, Collected
from harness.results.record import CaseResult, CellResult
from harness.results.status import Status, worst

STACKS = "stacks.log"
_FRAME = re.compile(r'  File "(?P<file>[^"]*)", line (?P<line>\d+) in (?P<name>.*)')
_SHOWN = 4
_MOST_BYTES = 1 << 20


class Progress:
    """Which case runs, and which were collected, as the worker's events tell."""

    def __init__(self) -> None:
        self.running: Begun | None = None
        self._collected: tuple[str, ...] = ()

    def note(self, event: object) -> None:
        """Take an event."""
        match event:
            case Begun():
                self.running = event
            case Collected(_, ids):
                self._collected = ids
            case CaseResult() if self.running is not None and event.id == self.running.id:
                self.running = None

    def checked(self, result: CellResult) -> CellResult:
        """The worker's verdict, inconclusive when a case that it collected is in none of its results."""
        known = {case.id for case in result.cases}
        left = [case for case in self._collected if case not in known]
        if not left or result.fault:
            return result
        reason = f"{len(left)} collected cases have no result: {', '.join(left[:5])}{', ...' if len(left) > 5 else ''}"
        status = worst((result.status, Status.INCONCLUSIVE))
        return replace(result, status=status, reason="; ".join(filter(None, (result.reason, reason))))

    def hung(self, result: CellResult, folder: Path) -> CellResult:
        """A result without the worker's verdict, with the case that ended the worker by its deadline, if one did."""
        stacks = _stacks(folder / STACKS)
        if self.running is None or not stacks:
            return result
        where = innermost(stacks)
        if stacks.startswith("Timeout"):
            what = f"the test did not end within {self.running.seconds:g} s and could not be broken into"
        else:
            what = f"the test ended the process that it ran in ({stacks.splitlines()[0]})"
        reason = f"{what}: {where}"
        case = CaseResult(
            self.running.id, Status.FAILED, reason, seconds=self.running.seconds, evidence={"stacks": STACKS}
        )
        done = {known.id for known in result.cases} | {case.id}
        why = f"not run: {case.id} ended the worker"
        rest = [CaseResult(name, Status.INCONCLUSIVE, why) for name in self._collected if name not in done]
        evidence = {**result.evidence, "stacks": STACKS}
        cases = (*result.cases, case, *rest)
        return replace(result, status=Status.FAILED, reason="", fault="", cases=cases, detail=stacks, evidence=evidence)


def innermost(stacks: str) -> str:
    """Where the main thread stood: its innermost frames that are not Python's own, the nearest first."""
    _, _, main = stacks.rpartition("most recent call first")
    frames = [
        f"{Path(found['file']).name}:{found['line']} in {found['name']}"
        for found in map(_FRAME.fullmatch, main.splitlines())
        if found and not re.search(r"/(site|dist)-packages/|/lib/python3|^<", found["file"])
    ]
    return " < ".join(frames[:_SHOWN]) or "its stack shows no test"


def _stacks(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_MOST_BYTES)
    except OSError:
        return ""
