"""All cases of a cell, in order: start marker, body, completions, frames, end marker, verdict.

``Session`` knows the driver, the capture and the model only by what it asks of them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from harness.api import Wire, Wsk
from harness.capture.frames import Integrity
from harness.errors import Failure, HarnessError, LabError, UsageError
from harness.matrix.events import Collected, encode
from harness.model.predict import predict
from harness.model.site import Site
from harness.report.results import UNLOAD, CaseResult
from harness.report.status import Status
from harness.session.case import Case, ended_by, raised
from harness.session.expectations import frames_of, since
from harness.session.lab import Lab, Unknown, unvouched
from harness.session.parts import Capture, DriverUnderTest, PeerSender
from harness.session.plainly import Plainly
from harness.session.watch import Keeper, Unkept, Unwatched, Watch
from harness.verify.closing import Closing, closed
from harness.verify.judge import doubts_of, judge
from harness.verify.late import Late
from harness.verify.verdict import CaseVerdict
from harness.wsk.operations import Accounts, Operation, Outcome, PeerSend, Step

SETTLE_SECONDS = 2.0
"""How long the last frames of a case may take from the driver's completion to the bridge before they are missing."""


_UNSEEN = CaseVerdict()
"""Of a case whose frames nobody judged."""


class Session:
    """All cases of one cell, one after another.

    Args:
        site: what the model must know of the lab.
        driver: the driver under test.
        capture: the session's capture.
        record: takes each step as it happens, and how each case ended (``operations.jsonl``).
        emit: takes progress events.
        peers: the host peers, for tests in which they send.
        folder: where evidence goes.
    """

    def __init__(
        self,
        site: Site,
        driver: DriverUnderTest,
        capture: Capture,
        record: Callable[[Step | Closing], None],
        emit: Callable[[dict[str, Any]], None],
        peers: PeerSender | None = None,
        folder: Path | None = None,
    ) -> None:
        self._site = site
        self._peers = peers
        self._driver = driver
        self._capture = capture
        self._record = record
        self._emit = emit
        self._steps = 0
        self._case: Case | None = None
        self._lost = ""
        self._held: Accounts | None = None
        self.results: list[CaseResult] = []
        self.verifying = 0.0  # seconds spent on ending cases: accounts, the last frames, verdicts
        self._folder = folder
        self._trials = 0
        self._late = Late(site)
        self._plainly = Plainly()
        self.watch: Watch = Unwatched()
        self.lab: Lab = Unknown()
        self.keeper: Keeper = Unkept()

    @property
    def case(self) -> Case:
        """The case that runs now.

        Raises:
            LabError: none runs.
        """
        if self._case is None:
            raise LabError("no case is running")
        return self._case

    def collected(self, count: int) -> None:
        """Tell how many cases there are, before the first begins."""
        self._emit(encode(Collected(count)))

    def execute(self, *operations: Operation) -> list[Step]:
        """Execute operations on the driver and record them as steps of the running case (``harness.api.Recorder``)."""
        case = self.case
        deferred, case.deferred = case.deferred, []
        before = len(case.steps) + len(deferred)
        self._note((*deferred, *operations), self._carry_out((*deferred, *operations)))
        return case.steps[before:]

    def defer(self, operation: Operation) -> None:
        """Execute an operation before whatever comes next, or when the case ends (``harness.api.Recorder``)."""
        self.case.deferred.append(operation)

    def trial(self, body: Callable[[Wsk, Wire], None]) -> str:
        """Judge a body by itself, as a case that counts in no result (``harness.api.Recorder``)."""
        outer = self.case
        if outer.steps or outer.deferred:
            raise UsageError("a test that makes trials must make all its calls in them")
        self._trials += 1
        self.begin_case(f"{outer.name} trial {self._trials}")
        self.case.trial = True
        error: Exception | None = None
        try:
            body(self.case.wsk, self.case.wire)
        except Exception as caught:
            error = caught
        try:
            status = self.end_case(error)
            reason = self.case.reason
        finally:
            self._case = outer
        if status is Status.INCONCLUSIVE:
            raise LabError(f"a trial could not be judged: {reason}")
        self._capture.begin(outer.name)
        return reason

    def keep(self, name: str, text: str) -> None:
        """Keep a text with the cell's evidence (``harness.api.Recorder``)."""
        if self._folder is not None:
            (self._folder / name).write_text(text, encoding="utf-8")

    def _settle(self) -> Accounts | None:
        """Execute what was deferred, and ask for the driver's books."""
        deferred, self.case.deferred = self.case.deferred, []
        settle = getattr(self._driver, "settle", None)
        if settle is None:
            self._note(deferred, self._carry_out(deferred))
            return self._driver.accounts()
        outcomes, accounts = settle(deferred)
        self._note(deferred, outcomes)
        return cast("Accounts | None", accounts)

    def _note(self, operations: Sequence[Operation], outcomes: Sequence[Outcome]) -> None:
        case = self.case
        for operation, outcome in zip(operations, outcomes, strict=True):
            case.steps.append(Step(self._steps, case.name, operation, outcome))
            self._steps += 1
        for step in case.steps[len(case.steps) - len(outcomes) :]:  # what cannot be recorded was made all the same
            self._record(step)

    def _carry_out(self, operations: Sequence[Operation]) -> list[Outcome]:
        """What peers send is sent here, all else by the driver; the order is kept."""
        if not any(isinstance(operation, PeerSend) for operation in operations):
            return self._driver.execute(operations)
        outcomes: list[Outcome] = []
        for operation in operations:
            if not isinstance(operation, PeerSend):
                outcomes += self._driver.execute((operation,))
                continue
            if self._peers is None:
                raise LabError("this lab has no host peers that send")
            self._peers.send(operation.source, operation.destination, operation.data)
            outcomes.append(Outcome())
        return outcomes

    def begin_case(self, name: str) -> None:
        """Open a case.

        Raises:
            LabError: the guest or the capture was lost earlier, or the start marker does not appear.
        """
        left = self._case.deferred if self._case is not None else []  # of a case that was skipped half way
        self._case = Case(name, Wsk(self), Wire(self._site, self), time.monotonic())
        if self._lost:
            raise LabError(f"not run: {self._lost}")
        if left:
            self._driver.execute(left)
        self._capture.begin(name)

    def end_case(self, error: BaseException | None) -> Status:
        """Close the running case and judge it; ``error`` is what the test's body raised, if anything."""
        began = time.monotonic()
        gone = isinstance(error, LabError) or (isinstance(error, Failure) and self.watch.broken)
        try:
            if (gone or self.keeper.noticed) and (status := self._past_crash()) is not None:
                return status
            return self._closed(self.case, error)
        finally:
            self.verifying += time.monotonic() - began

    def _closed(self, case: Case, error: BaseException | None) -> Status:
        """The verdict of a case whose guest runs."""
        try:
            if isinstance(error, Failure) and self.watch.broken:
                return self._past_answering(error)
            verdict, closing = self._judge(case)
        except Failure as failure:
            return self._past_crash() or self._past_answering(failure)
        except LabError as lab:
            return self._past_crash() or self._without_lab(lab)
        if isinstance(error, LabError):
            self._lost = self._lost or error.what
        return self._finish(raised(closing, error), verdict)

    def give_up(self, reason: str) -> None:
        """Ask nothing of the guest any more: cases that come are not run, and the driver is not unloaded."""
        self._lost = self._lost or reason

    def skip_case(self, reason: str) -> None:
        """The test skipped itself, with a reason that a person wrote."""
        self._finish(replace(self.case.closing, skipped=reason))

    def error_outside_body(self, error: BaseException) -> None:
        """A fixture or marker failed before or after the body; what it raised decides the class."""
        where = "" if isinstance(error, HarnessError) else "a fixture of the test failed: "
        self._finish(raised(Closing(self.case.name), error, where))

    def end(self, unload: Callable[[], None]) -> None:
        """Unload the driver; what is wrong with that, or is found only then, is a failed case of its own.

        Args:
            unload: ends the driver; raises Failure when it does not end.
        """
        if self._case is None or self._lost:
            return
        self._case = Case(UNLOAD, self._case.wsk, self._case.wire, time.monotonic())
        closing = Closing(UNLOAD)
        try:
            unload()
        except (Failure, LabError) as error:
            if (crash := self.keeper.crash()) is not None:
                self._finish(ended_by(closing, crash))
                return
            if isinstance(error, LabError):
                return  # the cases said so, and nothing is asked of the guest any more
            closing = raised(closing, error)
        with contextlib.suppress(LabError):
            closing = replace(closing, findings=tuple(self.watch.findings()))
        if closing.failure or closing.findings:
            self._finish(closing)

    def _past_crash(self) -> Status | None:
        """The case ends by a crash of the guest, which is the driver's fault; ``None`` when there was none.

        The guest that came back gets the driver again, and the suite goes on. A guest that restarted or vanished
        without a stop code proves nothing against the driver.
        """
        crash = self.keeper.crash()
        if crash is None:
            return None
        with contextlib.suppress(LabError):
            self._capture.end(self.case.name, 0, 0.0)
        self._held = None
        status = self._finish(ended_by(self.case.closing, crash))
        try:
            self.keeper.renew()
        except HarnessError as error:
            self._lost = self._lost or f"the guest could not be renewed: {error.what}"
        return status

    def _past_answering(self, failure: Failure) -> Status:
        """The case ends without a verdict on its frames; the guest gets a working driver for the next."""
        try:
            self._require_lab()
            found = self.watch.findings()
            self._capture.end(self.case.name, 0, 0.0)
        except LabError as lab:  # the driver does not answer because the guest does not
            self._lost = self._lost or lab.what
            return self._finish(replace(self.case.closing, doubts=(f"{lab.line()}; {failure.what}",)))
        worst = tuple(sorted(found, key=lambda item: item.field != "fault"))
        status = self._finish(replace(self.case.closing, findings=worst, failure=failure.line()))
        self._held = None
        try:
            self.watch.renew()
        except HarnessError as error:
            self._lost = self._lost or f"the guest could not be renewed: {error.what}"
        return status

    def _without_lab(self, error: LabError) -> Status:
        """The lab failed under the case: it says why, where it knows more than what broke first."""
        why = error.line()
        try:
            self._require_lab()
        except LabError as known:
            why = f"{known.line()}; {error.what}"
        self._lost = self._lost or why
        return self._finish(replace(self.case.closing, doubts=(why,)))

    def _require_lab(self) -> None:
        """Raise LabError when the lab knows what is wrong with itself."""
        if words := [*self.lab.broken(), *self.lab.disturbed()]:  # what ends a guest takes its cables along
            raise LabError(words[0])

    def doubt(self, whole: Integrity) -> None:
        """Take the integrity of the whole capture into account, once it has ended.

        What the record lost or holds differently concerns every case that was judged by it.
        """
        doubts = doubts_of(whole)
        if not doubts:
            return
        self._recorded(Closing("", doubts=tuple(doubts)))
        judged = (Status.PASSED, Status.FAILED)
        self.results = [
            replace(result, status=Status.INCONCLUSIVE, reason=doubts[0]) if result.status in judged else result
            for result in self.results
        ]

    def explain(self, capture: Path) -> None:
        """Put plain words on failed cases, once nothing more is captured.

        Args:
            capture: the record.
        """
        told = self._plainly.told(capture)
        self.results = [replace(result, explained=told.get(result.id, ())) for result in self.results]

    def _judge(self, case: Case) -> tuple[CaseVerdict, Closing]:
        """Wait for the frames that must come, close the capture's stretch and hold everything against the model."""
        now = self._settle()
        accounts = since(now, self._held)
        self._held = now
        case.predictions = predictions = predict(case.steps, self._site)
        self._capture.end(case.name, sum(frames_of(prediction) for prediction in predictions), SETTLE_SECONDS)
        case.extent = self._capture.extent(case.name)
        integrity = self._capture.integrity(case.name)
        integrity = replace(integrity, problems=(*integrity.problems, *self.lab.disturbed()))
        if case.extent.large:
            from harness.session.large import judge_large  # late: numpy costs every cell's start, and few cells need it

            recorded = self._capture.recorded(case.name)
            verdict, case.seen = judge_large(recorded, case.name, case.steps, integrity, self._site)
        else:
            case.seen = self._capture.frames(case.name)
            verdict = judge(predictions, case.steps, case.seen, integrity, self._site)
        verdict = self._late.named(case.name, verdict, predictions, case.seen)
        closing = replace(
            case.closing, accounts=accounts, findings=tuple(self.watch.findings()), doubts=tuple(doubts_of(integrity))
        )
        if unvouched(closed(verdict, closing, predictions)):
            closing = replace(closing, doubts=tuple(self.lab.broken()))
        return verdict, closing

    def _recorded(self, closing: Closing) -> Closing:
        """The closing as it stands in the plan, or with the doubt that it does not: nothing is asked any more then."""
        try:
            self._record(closing)
        except LabError as error:
            self._lost = self._lost or error.what
            return replace(closing, doubts=(error.line(), *closing.doubts))
        return closing

    def _finish(self, closing: Closing, verdict: CaseVerdict = _UNSEEN) -> Status:
        """The case's result: recorded in the plan, told, and kept."""
        case = self.case
        closing = self._recorded(closing)
        predictions = predict(case.steps, self._site) if case.predictions is None else case.predictions
        whole = closed(verdict, closing, predictions)
        case.reason = whole.reason
        result = case.result(whole)
        if case.trial:
            return whole.status
        if whole.status is Status.FAILED:
            self._plainly.note(case.name, whole.findings, predictions, case.seen)
        if self.results and self.results[-1].id == result.id:
            self.results.pop()  # a fixture's clean-up failed after the verdict: the case has one result, the worse
        self.results.append(result)
        self._emit(encode(result))
        return whole.status
