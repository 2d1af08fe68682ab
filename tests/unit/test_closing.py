"""What a run says of its cases counts in the verdict on its files as it did live, marked or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.capture.marker import Edge
from harness.offline.bundle import differing
from harness.offline.verify import FileVerdict, Reader, verify
from harness.results.record import CaseResult, CellResult
from harness.results.status import Status
from harness.trace import trace_lines as plans
from harness.verify.closing import Closing
from harness.verify.verdict import Finding, Verdict
from harness.wsk.operations import Accounts, SendTo
from tests.corpus import containers
from tests.corpus.story import SITE, STEPS, frames, marker, story

SENT = next(step.number for step in STEPS if isinstance(step.operation, SendTo))
LEAK = Finding(Verdict.VERIFIER, field="pool-leak", expected="what was allocated is freed", seen="64 bytes")


def files(folder: Path, *closings: Closing, marked: bool = True) -> tuple[Path, Path]:
    capture, plan = folder / "capture.pcapng", folder / "operations.jsonl"
    capture.write_bytes(containers.pcapng(story(frames("sends"), frames("more"), marked)))
    whole = plans.Plan(plans.Header("r", "linux", SITE.to_json()), STEPS, closings)
    plan.write_text("".join(f"{line}\n" for line in plans.lines(whole)))
    return capture, plan


def judged(folder: Path, *closings: Closing, marked: bool = True) -> FileVerdict:
    return verify(*files(folder, *closings, marked=marked), Reader.FAST)


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize(
    ("closing", "status", "says"),
    [
        (Closing("sends", Accounts(sends=7, completed=7), reaching=(SENT,)), Status.PASSED, ""),
        (Closing("sends", Accounts(irps=2)), Status.FAILED, "accounts.irps expected 0, seen 2"),
        (Closing("sends", quiet=(SENT,)), Status.FAILED, "wire expected no datagram, seen one"),
        (Closing("sends", reaching=(1,)), Status.FAILED, "wire expected a datagram, seen none"),
        (Closing("sends", findings=(LEAK,)), Status.FAILED, "verifier: pool-leak expected what was allocated"),
        (Closing("sends", failure="AssertionError: 4 == 5"), Status.FAILED, "AssertionError: 4 == 5"),
        (Closing("sends", Accounts(irps=2), failure="x"), Status.FAILED, "seen 2 (the driver still holds them); x"),
        (Closing("sends", Accounts(irps=2), doubts=("a cable was cut",)), Status.INCONCLUSIVE, "a cable was cut"),
        (Closing("sends", skipped="no such option here"), Status.SKIPPED, "no such option here"),
        (Closing("the unload", failure="it hangs"), Status.FAILED, "it hangs"),
        (Closing("", doubts=("the record lost 3 frames",)), Status.INCONCLUSIVE, "the record lost 3 frames"),
    ],
)
def test_what_no_frame_shows(closing: Closing, status: Status, says: str, marked: bool, tmp_path: Path) -> None:
    parts = {part.case: part.verdict for part in judged(tmp_path, closing, marked=marked).parts}
    assert (parts[closing.case or "sends"].status, says in parts[closing.case or "sends"].reason) == (status, True)
    assert parts["more"].status is (Status.PASSED if closing.case else status)


def test_the_last_word_on_a_case_holds(tmp_path: Path) -> None:
    first, second = Closing("sends", failure="the body failed"), Closing("sends", doubts=("a fixture lost the guest",))
    part = judged(tmp_path, first, second).parts[0]
    assert (part.verdict.status, part.verdict.reason) == (Status.INCONCLUSIVE, "a fixture lost the guest")


def test_trials_inside_a_case_are_cases_of_their_own(tmp_path: Path) -> None:
    """Their outer case starts again after each of them, and has no frames of its own."""
    capture, plan = files(tmp_path, Closing("walk"))
    marks = [
        marker(1, Edge.START, 2, "walk"),
        marker(2, Edge.START, 3, "sends"),
        *frames("sends"),
        marker(2, Edge.END, 4, "sends"),
        marker(1, Edge.START, 5, "walk"),
        marker(3, Edge.START, 6, "more"),
        *frames("more"),
        marker(3, Edge.END, 7, "more"),
        marker(1, Edge.START, 8, "walk"),
        marker(1, Edge.END, 9, "walk"),
    ]
    capture.write_bytes(containers.pcapng([containers.Record(data) for data in marks]))
    told = verify(capture, plan, Reader.FAST)
    assert {part.case: part.verdict.status for part in told.parts} == dict.fromkeys(
        ("sends", "more", "walk"), Status.PASSED
    )


def result(**cases: Status) -> CellResult:
    status = max(cases.values(), key=[Status.SKIPPED, Status.PASSED, Status.FAILED, Status.INCONCLUSIVE].index)
    return CellResult("wine", "e1000", status, cases=tuple(CaseResult(name, said) for name, said in cases.items()))


def test_files_that_say_otherwise_than_their_run(tmp_path: Path) -> None:
    files(tmp_path, Closing("sends", failure="it hangs"))
    assert differing(tmp_path, result(sends=Status.FAILED, more=Status.PASSED)) == ""
    told = differing(tmp_path, result(sends=Status.PASSED, more=Status.PASSED))
    assert told == "the files alone say failed of sends, the run passed: it hangs"
    assert differing(tmp_path, result(sends=Status.FAILED, third=Status.PASSED)) == "the plan says nothing of third"
    (tmp_path / "capture.pcapng").unlink()
    assert "capture.pcapng" in differing(tmp_path, result(sends=Status.FAILED))
    assert differing(tmp_path, result(sends=Status.INCONCLUSIVE)) == ""
