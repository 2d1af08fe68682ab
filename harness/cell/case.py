"""One case: its steps on the driver, its stretch of the capture, and what its end says of it. Pure."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from harness.capture.frames import CapturedFrame, Extent
from harness.cell.api import Wire, Wsk
from harness.cell.ledger import STRICT, Ending
from harness.cell.texts import described, plain
from harness.cell.watch import crashed
from harness.errors import HarnessError, LabError
from harness.guests.windows.crash.examine import Crash
from harness.model.datagram import Prediction
from harness.model.provider import describe
from harness.results.record import CaseResult
from harness.results.status import Status
from harness.verify.closing import Closing
from harness.verify.verdict import CaseVerdict
from harness.wsk.operations import Force, Operation, Step


@dataclass
class Case:
    """The case that runs now.

    Args:
        name: the test's id.
        wsk, wire: what its test was given.
        started: when, by the monotonic clock.
        steps: what was done on the driver so far.
        deferred: what is done before whatever comes next.
        trial: it counts in no result.
        extent: where it lies in the record, once it is closed.
        seen: its frames, once they were looked at; of a large case those that were looked at one by one.
        open: it has its start marker, and is not judged yet.
        before: steps of earlier cases on sockets that this one uses.
        predictions: the model's, once they were made.
        closing_so_far: how it ended on the wire and in the driver, once it is judged; its test may add to that.
        verdict: on its frames, once it is judged.
        errors: LabErrors that its operations met, on whatever thread and whoever caught them.
        explained: the guest crashed or the lab broke, and the closing says how: what the test met of it adds nothing.
        reason: of its status, once that is known.
    """

    name: str
    wsk: Wsk
    wire: Wire
    started: float
    steps: list[Step] = field(default_factory=list)
    deferred: list[Operation] = field(default_factory=list)
    trial: bool = False
    extent: Extent = field(default_factory=Extent)
    seen: Sequence[CapturedFrame] = ()
    open: bool = False
    before: tuple[Step, ...] = ()
    predictions: Sequence[Prediction] | None = None
    closing_so_far: Closing | None = None
    verdict: CaseVerdict = field(default_factory=CaseVerdict)
    errors: list[LabError] = field(default_factory=list)
    explained: bool = False
    reason: str = ""

    @property
    def closing(self) -> Closing:
        """How the case ends, as far as the case itself tells."""
        reaching = tuple(step.number for step, wanted in self.wire.expectations if wanted)
        quiet = tuple(step.number for step, wanted in self.wire.expectations if not wanted)
        return Closing(self.name, reaching=reaching, quiet=quiet)

    def result(self, verdict: CaseVerdict) -> CaseResult:
        """The case's result, now that its verdict is there, with all that the closing added.

        The time of the guest's last frame is what the verdict's delay counts from.
        """
        last = self.extent.guest_ns
        return CaseResult(
            id=self.name,
            status=verdict.status,
            reason=verdict.reason,
            seconds=round(time.monotonic() - self.started, 4),
            datagrams=verdict.counts,
            findings=verdict.findings,
            observed=verdict.observed,
            background=dict(verdict.background),
            evidence=self._evidence(),
            verdict_seconds=round((time.time_ns() - last) / 1e9, 4) if last else None,
        )

    def _evidence(self) -> dict[str, str]:
        """Where the case lies in the capture, and how the provider was told to behave in it."""
        forced = [describe(step.operation) for step in self.steps if isinstance(step.operation, Force)]
        evidence = {"frames": f"{self.extent.first}-{self.extent.last}"} if self.extent.first else {}
        return evidence | ({"provider told": "; ".join(dict.fromkeys(forced))} if forced else {})


@dataclass
class Between:
    """What fixtures of a wider scope do between cases.

    Args:
        case: what becomes of it.
        outer: the case that goes on afterwards.
        begun, open: whether they used the driver, and whether their case has its start marker.
    """

    case: Case
    outer: Case | None
    begun: bool = False
    open: bool = False


def raised(closing: Closing, error: BaseException | None) -> Closing:
    """The closing of a case whose test raised something, if anything: its class tells whose fault that was."""
    if error is None:
        return closing
    if isinstance(error, LabError):
        return replace(closing, doubts=(plain(error.line()), *closing.doubts))
    return replace(closing, failure=plain(error.line()) if isinstance(error, HarnessError) else described(error))


def with_ending(closing: Closing, ending: Ending, errors: Sequence[LabError], status: Status) -> Closing:
    """The closing with what the test and pytest said.

    Args:
        closing: of the wire and the driver.
        ending: the test's.
        errors: LabErrors that the case met: its test may have caught them, and is not asked.
        status: by the wire and the driver alone.
    """
    met = tuple(plain(error.line()) for error in errors)
    doubts = tuple(dict.fromkeys((*ending.doubts, *met, *closing.doubts)))
    failure = closing.failure
    if ending.failure.startswith(failure):
        failure = ending.failure
    elif ending.failure not in failure:
        failure = f"{failure}; {ending.failure}"
    skipped = ending.skipped
    if ending.xpass is not None and not failure:
        if status is Status.FAILED and ending.covered:
            skipped = f"xfailed: {ending.xpass}".rstrip(": ")
        elif ending.strict:
            failure = f"{STRICT} {ending.xpass}".rstrip()
    if failure or (doubts and not closing.doubts):
        skipped = ""
    return replace(closing, doubts=doubts, failure=failure, skipped=skipped)


def ended_by(closing: Closing, crash: Crash) -> Closing:
    """The closing of a case in which the guest crashed; without a stop code that proves nothing against the driver."""
    if crash.proven:
        return replace(closing, findings=(crashed(crash),))
    return replace(closing, doubts=(crash.line(),))
