"""What a worker leaves that a test took down: the case that ran, its stack, and the cases that were collected.

A test can end its worker in many ways: C code that hangs or crashes (the worker writes the stacks of all threads, in
faulthandler's format, and ends), ``os._exit``, a signal, a stopped process, closed descriptors. The parent then makes
the results of the case that ran and of those after it; no collected case is left out of the record.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

from harness.cell.deadline import HARD_SECONDS
from harness.cell.events import Begun, Clock, Collected
from harness.results.record import CaseResult, CellResult
from harness.results.status import Status, worst

STACKS = "stacks.log"

CLOCK_GRACE = HARD_SECONDS + 10.0
"""Seconds after a case's deadline at which the parent ends the worker, which should have ended the case by then."""

_FRAME = re.compile(r'  File "(?P<file>[^"]*)", line (?P<line>\d+) in (?P<name>.*)')
_SHOWN = 4
_MOST_BYTES = 1 << 20


class Progress:
    """Which case runs, until when, and which were collected, by the worker's events.

    ``overdue`` is set by the parent, which ended the worker because the running case had not ended in time.
    """

    def __init__(self) -> None:
        self.running: Begun | None = None
        self._collected: tuple[str, ...] = ()
        self._expires: float | None = None
        self.overdue = False

    def note(self, event: object) -> None:
        """Take an event."""
        match event:
            case Begun():
                self.running, self._expires = event, None
            case Clock(seconds):
                self._expires = None if seconds is None else time.monotonic() + seconds
            case Collected(_, ids):
                self._collected = ids
            case CaseResult() if self.running is not None and event.id == self.running.id:
                self.running = self._expires = None

    def latest(self, grace: float) -> float:
        """When the running case must have ended, by ``time.monotonic``; infinite while no case's clock runs."""
        return float("inf") if self.running is None or self._expires is None else self._expires + grace

    def checked(self, result: CellResult) -> CellResult:
        """The worker's verdict, inconclusive when a case that it collected is in none of its results."""
        known = {case.id for case in result.cases}
        left = [case for case in self._collected if case not in known]
        if not left or result.fault:
            return result
        reason = f"{len(left)} collected cases have no result: {', '.join(left[:5])}{', ...' if len(left) > 5 else ''}"
        status = worst((result.status, Status.INCONCLUSIVE))
        return replace(result, status=status, reason="; ".join(filter(None, (result.reason, reason))))

    def ended(self, result: CellResult, folder: Path, how: str, *, asked: bool) -> CellResult:
        """A result without the worker's verdict, with the case in which the worker ended and those after it.

        The case failed when the worker ended while the case's clock ran, or left stacks. A worker that ended while it
        judged a case is the lab's fault, and the case is inconclusive.

        Args:
            result: what is known without them.
            folder: of the cell.
            how: the way in which the worker ended ("ended with exit code 0").
            asked: the worker was asked to end, so that no case is to blame and those after it are not missed.
        """
        stacks = _stacks(folder / STACKS)
        running = self.running
        if asked and not (running is not None and stacks):
            return result
        case = None if running is None else self._ending(running, stacks, how)
        whole = (*result.cases, *((case,) if case is not None else ()))
        done = {known.id for known in whole}
        why = f"not run: {f'{running.id} ended the worker' if running is not None else f'the worker {how}'}"
        rest = [CaseResult(name, Status.INCONCLUSIVE, why) for name in self._collected if name not in done]
        evidence = {**result.evidence, "stacks": STACKS} if stacks else result.evidence
        result = replace(result, cases=(*whole, *rest), detail=stacks or result.detail, evidence=evidence)
        if case is None or case.status is not Status.FAILED:
            return result
        return replace(result, status=Status.FAILED, reason="", fault="")

    def _ending(self, running: Begun, stacks: str, how: str) -> CaseResult:
        """The result of the case in which the worker ended."""
        if stacks.startswith("Timeout") or (self.overdue and not stacks):
            what = f"the test did not end within {running.seconds:g} s and could not be broken into"
        elif stacks:
            what = f"the test ended the process that it ran in ({stacks.splitlines()[0]})"
        elif self._expires is not None:
            what = f"the test ended the process that it ran in: the worker {how}"
        else:
            why = f"the worker {how} while the case was set up or judged"
            return CaseResult(running.id, Status.INCONCLUSIVE, why)
        reason = f"{what}: {innermost(stacks)}" if stacks else what
        evidence = {"stacks": STACKS} if stacks else {}
        return CaseResult(running.id, Status.FAILED, reason, seconds=running.seconds, evidence=evidence)


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
