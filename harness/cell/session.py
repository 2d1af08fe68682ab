"""All cases of a cell, in order: start marker, body, completions, frames, end marker, verdict.

``Session`` knows the driver, the capture and the model only by what it asks of them.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from harness.capture.frames import Integrity
from harness.cell import cell_files
from harness.cell.alive import signs_of_life
from harness.cell.api import Wire, Wsk
from harness.cell.case import Between, Case, ended_by, raised, with_ending
from harness.cell.deadline import CALL_SECONDS, CaseTimeout, CaseTimeoutError, bounded
from harness.cell.events import Begun, Clock, Collected, encode
from harness.cell.expectations import added, frames_of, since
from harness.cell.explanations import Plainly
from harness.cell.lab import Lab, Unknown, unvouched
from harness.cell.ledger import Ending
from harness.cell.parts import Capture, DriverUnderTest, PeerSender
from harness.cell.texts import described, plain
from harness.cell.threads import Threads
from harness.cell.watch import Keeper, Unkept, Unwatched, Watch
from harness.errors import Failure, HarnessError, LabError, UsageError
from harness.model.carried import Carried, predict_after
from harness.model.datagram import Prediction
from harness.model.site import Site
from harness.results.record import OWN, UNLOAD, CaseResult
from harness.results.status import Status
from harness.verify.closing import Closing, closed
from harness.verify.judge import doubts_of, judge
from harness.verify.late import Late
from harness.verify.verdict import CaseVerdict
from harness.wsk.operations import Accounts, Open, Operation, Outcome, PeerSend, Step, named_addresses
from harness.wsk.types import Address

SETTLE_SECONDS = 2.0
"""How long the last frames of a case may take from the driver's completion to the bridge before they are missing."""


WIDER = f"{OWN}fixtures of a wider scope"
"""The case that holds what all such fixtures together left behind."""

_UNSEEN = CaseVerdict()
"""Of a case whose frames nobody judged."""


class SocketGoneError(LabError):
    """A socket went with the driver that it was opened on; the guest has another one by now."""


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
        self._wide: Accounts | None = None
        self._opened = self._gone = -1  # the last socket that was opened, and the last that went with its driver
        self.results: list[CaseResult] = []
        self.verifying = 0.0  # seconds spent on ending cases: accounts, the last frames, verdicts
        self._folder = folder
        self._kept: set[str] = set()
        self._trials = 0
        self._numbers = itertools.count()
        self._carried = Carried()
        self._between: Between | None = None
        self._turn = threading.RLock()  # one call on the driver at a time, whatever thread of a test makes it
        self._late = Late(site)
        self._asked: frozenset[Address] = frozenset()
        self._plainly = Plainly()
        self.threads = Threads()
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

    def collected(self, ids: Sequence[str]) -> None:
        """Tell which cases there are, before the first begins."""
        self._emit(encode(Collected(len(ids), tuple(ids))))

    @property
    def current(self) -> Case:
        """The case that a fixture's or a test's calls belong to: the one that runs, or one of wider fixtures."""
        between = self._between
        if between is not None and not between.begun and not (self._case is not None and self._case.open):
            return between.case
        return self.case

    def announce(self, name: str, seconds: float) -> None:
        """Tell which case begins and how long it may take: the parent names it should the worker die in it."""
        self._emit(encode(Begun(plain(name), seconds)))

    def tell_clock(self, seconds: float | None) -> None:
        """Tell that the case's clock starts and how long it may run, or that it stopped (``None``)."""
        self._emit(encode(Clock(seconds)))

    def execute(self, *operations: Operation) -> list[Step]:
        """Execute operations on the driver and record them as steps of the running case (``harness.api.Recorder``).

        Threads of a test take turns. A LabError counts for the case whoever catches it.
        """
        self.threads.pass_or_end()
        with self._turn:
            self.threads.pass_or_end()
            self._enter_between()
            case = self.case
            deferred, case.deferred = case.deferred, []
            before = len(case.steps) + len(deferred)
            try:
                for operation in operations:
                    if self._is_gone(operation):
                        why = "the driver was loaded again after a case that hung or failed"
                        raise SocketGoneError(f"the socket was opened earlier, and is gone: {why}")
                outcomes = self._carry_out((*deferred, *operations))
                self.threads.pass_or_end()  # its case may have been given up meanwhile
                self._note((*deferred, *operations), outcomes)
            except LabError as error:
                case.errors.append(error)
                raise
            return case.steps[before:]

    def defer(self, operation: Operation) -> None:
        """Execute an operation before whatever comes next, or when the case ends (``harness.api.Recorder``)."""
        self.threads.pass_or_end()
        with self._turn:
            if self._is_gone(operation):
                return  # closing it is all that is ever put off
            self._enter_between()
            self.case.deferred.append(operation)

    def _is_gone(self, operation: Operation) -> bool:
        """Whether an operation is on a socket of a driver that the guest has no more."""
        return not isinstance(operation, Open) and getattr(operation, "socket", None) in range(self._gone + 1)

    def _without_sockets(self) -> None:
        """The driver is another one by now: it holds nothing of what was opened before."""
        self._held = self._wide = None
        self._gone = self._opened

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
            try:
                body(self.case.wsk, self.case.wire)
            except Exception as caught:
                error = caught
            status = self.end_case(error)
            reason = self.case.reason
        finally:
            self._case = outer
        if status is Status.INCONCLUSIVE:
            raise LabError(f"a trial could not be judged: {reason}")
        self._capture.begin(outer.name)
        return reason

    def keep(self, name: str, text: str) -> None:
        """Keep a text with the cell's evidence (``harness.api.Recorder``).

        Raises:
            UsageError: the name is no plain file name, or another file has it.
        """
        if self._folder is not None:
            path = cell_files.note_kept(self._folder, name, self._kept)
            path.write_text(plain(text), encoding="utf-8")

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
            if isinstance(operation, Open):
                self._opened = operation.socket
            self._steps += 1
        for step in case.steps[len(case.steps) - len(outcomes) :]:  # what cannot be recorded was made all the same
            self._record(step)
        self._asked |= named_addresses(case.steps[len(case.steps) - len(outcomes) :])

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
        self._begin(self._fresh(name))

    def _begin(self, case: Case) -> None:
        self._case = case
        if self._lost:
            raise LabError(f"not run: {self._lost}")
        self._capture.begin(case.name)
        case.open = True

    def end_case(self, error: BaseException | None) -> Status:
        """Judge the running case and record its result; ``error`` is what it raised, if anything."""
        self.judge_case(error)
        return self.finish_case(Ending() if error is None else _ending(error))

    def judge_case(self, error: BaseException | None = None, *, skipped: bool = False) -> Status:
        """Close the running case on the wire and in the driver, and judge it; ``finish_case`` records its result.

        Args:
            error: what it raised so far, if anything.
            skipped: the test has skipped itself: its stretch of the capture is closed and not judged.
        """
        began = time.monotonic()
        gone = isinstance(error, LabError) or (isinstance(error, Failure) and self.watch.broken)
        try:
            if (gone or self.keeper.noticed) and (status := self._past_crash()) is not None:
                return status
            if isinstance(error, CaseTimeout | CaseTimeoutError):
                self._turn = threading.RLock()  # a thread of the test may hold the old one for ever
                return self._past_answering(Failure(str(error)))
            if not self._turn.acquire(timeout=CALL_SECONDS):
                self._turn = threading.RLock()
                return self._past_answering(Failure("a thread of the test never ended its call on the driver"))
            try:
                return self._unjudged(self.case) if skipped else self._closed(self.case, error)
            finally:
                self._turn.release()
        except Exception as wrong:  # an adapter may answer anything: the case has a result all the same
            traceback.print_exc()
            status = self._conclude(
                replace(self.case.closing, doubts=(f"the case could not be judged: {described(wrong)}",))
            )
            if self.watch.broken:
                self._renew()
            return status
        finally:
            self.verifying += time.monotonic() - began

    def finish_case(self, ending: Ending) -> Status:
        """Record the result of the case that was judged, with what its test and pytest add to it."""
        case = self.case
        before = case.closing_so_far or case.closing
        status = self._whole(before).status
        if case.explained:
            ending, case.errors = Ending(), []
        note = f"passed, though marked xfail: {ending.xpass}".rstrip(": ") if ending.xpass is not None else ""
        return self._finish(with_ending(before, ending, case.errors, status), note)

    def between(self, name: str) -> None:
        """What comes now is done by fixtures of a wider scope: a case of its own, should they use the driver.

        Args:
            name: of that case; it holds no books, for what such a fixture opens stays open.
        """
        self._between = Between(self._fresh(f"{OWN}{name}"), self._case)

    def end_between(self) -> None:
        """Judge what fixtures of a wider scope have done, and go on with the case that was running."""
        between, self._between = self._between, None
        if between is None or not between.begun:
            return
        if between.open:
            self.judge_case()
            closing = self.case.closing_so_far or self.case.closing
            if closing.accounts is not None:
                self._wide = added(self._wide, closing.accounts)
                self._conclude(replace(closing, accounts=None), self.case.verdict)
            self.finish_case(Ending())
        self._case = between.outer

    def end_wider(self) -> None:
        """Hold the books of all fixtures of a wider scope against nothing, once the last of them is torn down."""
        self.end_between()
        if self._wide is not None:
            self._case = self._fresh(WIDER)
            self._finish(Closing(WIDER, accounts=self._wide))

    def _enter_between(self) -> None:
        """Open the case of a fixture of a wider scope at its first operation."""
        between = self._between
        if between is None or between.begun:
            return
        between.begun = True
        outer = self._case
        if outer is not None and outer.open:
            what = "a fixture of a wider scope uses the driver for the first time in the middle of a test"
            raise UsageError(what, mend="name it among the test's arguments, so that it is set up before the test")
        self._begin(between.case)
        between.open = True

    def _fresh(self, name: str) -> Case:
        """A case that has just begun."""
        return Case(plain(name), Wsk(self, self._numbers), Wire(self._site, self), time.monotonic())

    def without_run(self, name: str, ending: Ending) -> Status:
        """The result of a case that never began, or of something that is no test."""
        self._case = self._fresh(name)
        return self.finish_case(ending)

    def _unjudged(self, case: Case) -> Status:
        """A skipped case: what it deferred is done, and its stretch of the capture is closed."""
        try:
            with bounded(CALL_SECONDS, "the driver's accounts"):
                self._held = self._settle()
            self._capture.end(case.name, 0, 0.0)
        except Failure as failure:
            return self._past_crash() or self._past_answering(failure)
        except LabError as lab:
            return self._past_crash() or self._without_lab(lab)
        return self._conclude(case.closing)

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
        if isinstance(error, LabError) and not isinstance(error, SocketGoneError):
            self._lost = self._lost or error.what
        return self._conclude(closing, verdict)

    def give_up(self, reason: str) -> None:
        """Ask nothing of the guest any more: cases that come are not run, and the driver is not unloaded."""
        self._lost = self._lost or reason

    def end(self, unload: Callable[[], None]) -> None:
        """Unload the driver; what is wrong with that, or is found only then, is a case of its own.

        Args:
            unload: ends the driver; raises Failure when it does not end.
        """
        if self._case is None or self._lost:
            return
        self._case = case = Case(UNLOAD, self._case.wsk, self._case.wire, time.monotonic())
        closing = Closing(UNLOAD)
        try:
            self._capture.begin(UNLOAD)
            with bounded(CALL_SECONDS, "the driver to unload"):
                unload()
        except (Failure, LabError) as error:
            if (crash := self.keeper.crash()) is not None:
                with contextlib.suppress(LabError):
                    self._capture.end(UNLOAD, 0, 0.0)
                self._finish(ended_by(closing, crash))
                return
            closing = raised(closing, error)
        try:
            closing = replace(closing, findings=(*self.watch.findings(), *self.lab.unforwarded()))
        except (Failure, LabError) as error:
            closing = closing if closing.failure else raised(closing, error)
        try:
            self._capture.end(UNLOAD, 0, 0.0)
            case.verdict, integrity = self._seen(case, (), ())
            closing = replace(closing, doubts=(*closing.doubts, *doubts_of(integrity)))
        except LabError as error:
            closing = raised(closing, error)
        if self._whole(closing).status is Status.PASSED:
            self._recorded(closing)  # the capture has its markers
        else:
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
        self._without_sockets()
        self.case.explained = True
        status = self._conclude(ended_by(self.case.closing, crash))
        try:
            self.keeper.renew()
            self._capture.restarted()
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
            self.case.explained = True
            return self._conclude(replace(self.case.closing, doubts=(f"{lab.line()}; {failure.what}",)))
        worst = tuple(sorted(found, key=lambda item: item.field != "fault"))
        status = self._conclude(replace(self.case.closing, findings=worst, failure=plain(failure.line())))
        self._renew()
        return status

    def _renew(self) -> None:
        """Give the guest a working driver for the next case."""
        self._without_sockets()
        try:
            with bounded(CALL_SECONDS, "the driver to be renewed"):
                self.watch.renew()
            self._capture.restarted()
        except HarnessError as error:
            self._lost = self._lost or f"the guest could not be renewed: {error.what}"

    def _without_lab(self, error: LabError) -> Status:
        """The lab failed under the case: it says why, where it knows more than what broke first."""
        why = error.line()
        try:
            self._require_lab()
        except LabError as known:
            why = f"{known.line()}; {error.what}"
        self._lost = self._lost or why
        self.case.explained = True
        return self._conclude(replace(self.case.closing, doubts=(plain(why),)))

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
        with bounded(CALL_SECONDS, "the driver's accounts"):
            now = self._settle()
        accounts = since(now, self._held)
        self._held = now
        case.before = self._carried.before(case.steps)
        self._carried.add(case.steps)
        case.predictions = predictions = predict_after(case.before, case.steps, self._site)
        self._capture.end(case.name, sum(frames_of(prediction) for prediction in predictions), SETTLE_SECONDS)
        verdict, integrity = self._seen(case, predictions, (*case.before, *case.steps))
        closing = replace(
            case.closing,
            accounts=accounts,
            findings=(*self.watch.findings(), *self.lab.unforwarded()),
            doubts=tuple(doubts_of(integrity)),
        )
        if unvouched(closed(verdict, closing, predictions)):
            closing = replace(closing, doubts=tuple(self.lab.broken()))
        return verdict, closing

    def _seen(
        self, case: Case, predictions: Sequence[Prediction], steps: Sequence[Step]
    ) -> tuple[CaseVerdict, Integrity]:
        """The verdict on the frames of a case whose stretch of the capture is closed, and whether that can be trusted.

        Args:
            case: which.
            predictions: what its own steps must bring.
            steps: its steps, with those of earlier cases on its sockets.
        """
        case.extent = self._capture.extent(case.name)
        integrity = self._capture.integrity(case.name)
        integrity = replace(integrity, problems=(*integrity.problems, *self.lab.disturbed()))
        if case.extent.large:
            from harness.cell.large import judge_large  # late: numpy costs every cell's start, and few cells need it

            recorded = self._capture.recorded(case.name)
            with signs_of_life(self._emit):
                verdict, case.seen = judge_large(recorded, case.name, steps, integrity, self._site, self._asked)
        else:
            case.seen = self._capture.frames(case.name)
            with signs_of_life(self._emit):
                verdict = judge(predictions, case.steps, case.seen, integrity, self._site, asked=self._asked)
        return self._late.named(case.name, verdict, predictions, case.seen), integrity

    def _recorded(self, closing: Closing) -> Closing:
        """The closing as it stands in the plan, or with the doubt that it does not: nothing is asked any more then."""
        try:
            self._record(closing)
        except LabError as error:
            self._lost = self._lost or error.what
            return replace(closing, doubts=(error.line(), *closing.doubts))
        return closing

    def _whole(self, closing: Closing) -> CaseVerdict:
        """The verdict of the running case with this closing."""
        case = self.case
        if case.predictions is None:
            case.predictions = predict_after(case.before, case.steps, self._site)
        return closed(case.verdict, closing, case.predictions)

    def _conclude(self, closing: Closing, verdict: CaseVerdict = _UNSEEN) -> Status:
        """The case is judged; its test may still add to that."""
        case = self.case
        case.open = False
        case.closing_so_far, case.verdict = closing, verdict
        whole = self._whole(closing)
        case.reason = whole.reason
        return whole.status

    def _finish(self, closing: Closing, note: str = "") -> Status:
        """The case's result: recorded in the plan, told, and kept; ``note`` is the reason of one that has no other."""
        case = self.case
        whole = self._whole(self._recorded(closing))
        case.reason = whole.reason or note
        if case.trial:
            return whole.status
        result = replace(case.result(whole), reason=case.reason)
        if whole.status is Status.FAILED:
            self._plainly.note(case.name, whole.findings, case.predictions or (), case.seen)
        self.results.append(result)
        self._emit(encode(result))
        return whole.status


def _ending(error: BaseException) -> Ending:
    """What the body of a trial or of a proof adds to its verdict."""
    closing = raised(Closing(""), error)
    return Ending(closing.failure, closing.doubts)
