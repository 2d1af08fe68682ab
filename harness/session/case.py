"""One case: its steps on the driver, its stretch of the capture, and the verdict that joins both.

``Session`` lives as long as the cell and owns the order of things: start marker, body, completions, frames, end
marker, verdict. It knows the driver, the capture and the model only by what it asks of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from harness.api import Wire, Wsk
from harness.capture.frames import CapturedFrame, Integrity
from harness.errors import Failure, HarnessError, LabError, UsageError
from harness.model import Prediction, Site, predict
from harness.report.results import CaseResult, Datagrams, Status
from harness.verify import CaseVerdict, judge
from harness.wsk.operations import Accounts, Operation, Outcome, Step

SETTLE_SECONDS = 2.0
"""How long the last frames of a case may take from the driver's completion to the bridge before they are missing."""


class DriverUnderTest(Protocol):
    """What a session asks of a driver; ours and an adapter to anybody else's both give it."""

    def execute(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Carry the operations out in order. Raises Failure when the driver is at fault, LabError when the way to it is."""

    def accounts(self) -> Accounts | None:
        """The driver's own books, or None for a driver that keeps none."""


class Capture(Protocol):
    """What a session asks of the capture."""

    def begin(self, case: str) -> None:
        """Put the start marker on the bridge and see it in the file."""

    def end(self, case: str, enough: Callable[[Sequence[CapturedFrame]], bool], seconds: float) -> None:
        """Wait until ``enough`` holds for the case's frames or the time is up, then close the case by its end marker."""

    def frames(self, case: str) -> Sequence[CapturedFrame]:
        """The frames between the case's markers, with tshark's dissection."""

    def integrity(self, case: str) -> Integrity:
        """Whether the case's stretch of the capture can be trusted."""


class CaseEnd(Enum):
    """How a case ended, for the test runner."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    SKIPPED = "skipped"


@dataclass
class Case:
    """The case that runs now."""

    name: str
    wsk: Wsk
    wire: Wire
    started: float
    steps: list[Step] = field(default_factory=list)
    reason: str = ""


class Session:
    """All cases of one cell, one after another.

    Args:
        site: what the model must know of the lab.
        driver: the driver under test.
        capture: the session's capture.
        record: takes each step as it happens (``operations.jsonl``).
        emit: takes progress events.
    """

    def __init__(
        self,
        site: Site,
        driver: DriverUnderTest,
        capture: Capture,
        record: Callable[[Step], None],
        emit: Callable[[dict[str, Any]], None],
    ) -> None:
        self._site = site
        self._driver = driver
        self._capture = capture
        self._record = record
        self._emit = emit
        self._steps = 0
        self._case: Case | None = None
        self._lost = ""
        self.case_error: HarnessError | None = None
        self.results: list[CaseResult] = []

    @property
    def case(self) -> Case:
        """The case that runs now.

        Raises:
            LabError: none runs.
        """
        if self._case is None:
            raise LabError("no case is running")
        return self._case

    def collected(self, cases: Sequence[str]) -> None:
        """Tell the number of cases to come."""
        self._emit({"event": "collected", "count": len(cases)})

    def execute(self, *operations: Operation) -> list[Step]:
        """Execute operations on the driver and record them as steps of the running case (``harness.api.Recorder``)."""
        case = self.case
        outcomes = self._driver.execute(operations)
        steps = []
        for operation, outcome in zip(operations, outcomes, strict=True):
            step = Step(self._steps, case.name, operation, outcome)
            self._steps += 1
            self._record(step)
            steps.append(step)
        case.steps += steps
        return steps

    def begin_case(self, name: str) -> None:
        """Open a case.

        Raises:
            LabError: the guest or the capture was lost earlier, or the start marker does not appear.
        """
        self.case_error = None
        self._case = Case(name, Wsk(self), Wire(self._site), time.monotonic())
        if self._lost:
            raise LabError(f"not run: {self._lost}")
        self._capture.begin(name)

    def end_case(self, error: BaseException | None) -> CaseEnd:
        """Close the running case and judge it; ``error`` is what the test's body raised, if anything."""
        case = self.case
        try:
            verdict = self._verdict(case)
        except Failure as failure:
            return self._finish(CaseEnd.FAILED, failure.line())
        except LabError as lab:
            self._lost = self._lost or lab.what
            return self._finish(CaseEnd.INCONCLUSIVE, lab.line())
        if verdict.status == Status.INCONCLUSIVE:
            return self._finish(CaseEnd.INCONCLUSIVE, verdict.reason, verdict)
        if isinstance(error, LabError):
            self._lost = self._lost or error.what
            return self._finish(CaseEnd.INCONCLUSIVE, error.line(), verdict)
        if isinstance(error, Failure):
            return self._finish(CaseEnd.FAILED, error.line(), verdict)
        if verdict.status == Status.FAILED:
            return self._finish(CaseEnd.FAILED, verdict.reason, verdict)
        if error is not None:
            return self._finish(CaseEnd.FAILED, _one_line(error), verdict)
        return self._finish(CaseEnd.PASSED, "", verdict)

    def skip_case(self, reason: str) -> None:
        """The test skipped itself, with a reason that a person wrote."""
        self._finish(CaseEnd.SKIPPED, reason)

    def error_outside_body(self, text: str) -> None:
        """A fixture or marker failed before the body ran; what it raised decides the class."""
        error = self.case_error
        if isinstance(error, LabError):
            self._finish(CaseEnd.INCONCLUSIVE, error.line())
        elif isinstance(error, UsageError):
            self._finish(CaseEnd.FAILED, error.line())
        else:
            self._finish(CaseEnd.FAILED, f"the test could not start: {text}")

    def _verdict(self, case: Case) -> CaseVerdict:
        accounts = None if self._lost else self._driver.accounts()
        predictions = predict(case.steps, self._site)
        wanted = sum(frames_of(prediction, self._site) for prediction in predictions)
        self._capture.end(case.name, lambda frames: self._seen(frames) >= wanted, SETTLE_SECONDS)
        verdict = judge(
            predictions,
            case.steps,
            self._capture.frames(case.name),
            self._capture.integrity(case.name),
            self._site,
            accounts,
        )
        return with_expectations(verdict, predictions, case.wire.expectations)

    def _seen(self, frames: Sequence[CapturedFrame]) -> int:
        return sum(1 for frame in frames if is_udp_from(frame.data, self._site.guest_mac))

    def _finish(self, end: CaseEnd, reason: str, verdict: CaseVerdict | None = None) -> CaseEnd:
        case = self.case
        case.reason = reason
        self.results.append(
            CaseResult(
                id=case.name,
                status=Status(end.value),
                reason=reason,
                seconds=round(time.monotonic() - case.started, 4),
                datagrams=Datagrams(),
            )
        )
        self._emit({"event": "case", "id": case.name, "status": end.value, "reason": reason})
        return end


def _one_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}".rstrip(": ")
