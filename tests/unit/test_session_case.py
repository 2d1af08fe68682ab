"""A case passes only by a verdict, and whose fault it was decides its status; driver and capture are stand-ins."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.capture import pcapng
from harness.capture.frames import CapturedFrame, Dissection, Extent, Integrity, Recorded
from harness.capture.marker import Edge
from harness.capture.tshark import one_pass
from harness.cell.explanations import OF_A_CASE, OF_A_CELL, Plainly
from harness.cell.lab import Unknown
from harness.cell.pytest_plugin import CellPlugin
from harness.cell.session import Session
from harness.errors import Failure, LabError
from harness.model.carried import Carried, predict_after
from harness.results.record import CaseResult
from harness.results.status import Status
from harness.verify.closing import Closing
from harness.verify.verdict import Finding, Verdict
from harness.wsk import operations as op
from harness.wsk.operations import Step
from harness.wsk.types import Endpoint
from tests.corpus.story import RUN, marker
from tests.unit.verify_kit import captured, dissected, done, packets, raw, site

SITE = site()
PLAIN = ["-p", "no:cacheprovider", "-p", "no:terminal", "--import-mode=importlib", "-c", "/dev/null"]
NUMBER = itertools.count()
GOOD = """
def test_case(wsk, wire):
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_to(b"hello", wire.peer(9000)))
"""


class FaultlessDriver:
    """Answers every operation with success; its books balance unless told otherwise."""

    def __init__(self) -> None:
        self.books = op.Accounts()
        self.error: Exception | None = None

    def execute(self, operations: Sequence[op.Operation]) -> list[op.Outcome]:
        if self.error is not None:
            raise self.error
        return [self._outcome(operation) for operation in operations]

    def accounts(self) -> op.Accounts:
        return self.books

    def _outcome(self, operation: op.Operation) -> op.Outcome:
        if isinstance(operation, op.GetLocalAddress):
            return op.Outcome(completion=done(), endpoint=Endpoint(SITE.interfaces4[0].ip, 50000))
        if isinstance(operation, op.Burst):
            return op.Outcome(completion=done(operation.count * operation.size, completions=operation.count))
        size = operation.buffer.size if isinstance(operation, op.SendTo) else 0
        return op.Outcome(completion=done(size))


class Bridge:
    """A capture that shows what a faultless guest would send for the steps so far, changed by ``change``."""

    def __init__(self, record: Path) -> None:
        self.record = record
        self.most = 1000
        self.lasting = True
        self.data: list[bytes] = []
        self.steps: list[op.Step] = []
        self.every: list[op.Step] = []
        self.carried = Carried()
        self.change: Callable[[list[bytes]], list[bytes]] = lambda frames: frames
        self.trust = Integrity()
        self.started: list[str] = []
        self.ended: list[str] = []

    def begin(self, case: str) -> None:
        self.carried.add(self.steps)
        self.steps.clear()
        self.started.append(case)

    def end(self, case: str, frames: int | None, seconds: float) -> None:
        """Nothing can be late."""
        self.ended.append(case)
        self.data = self.change(raw(packets(predict_after(self.carried.before(self.steps), self.steps, SITE), SITE)))

    def restarted(self) -> None:
        """Nothing was sent meanwhile."""

    def extent(self, case: str) -> Extent:
        return Extent(1, len(self.data), time.time_ns(), len(self.data) > self.most) if self.data else Extent()

    def frames(self, case: str) -> Sequence[CapturedFrame]:
        assert len(self.data) <= self.most
        return dissected(captured(self.data))

    def recorded(self, case: str) -> Recorded:
        """A record that begins with another case and goes on after this one's end."""
        marks = [marker(1, Edge.START, 1, "other"), marker(2, Edge.START, 2, case), marker(2, Edge.END, 3, case)]
        frames = captured([marks[0], *self.data, marks[1], *self.data, *marks[2:][: self.lasting], *self.data])
        self.record.write_bytes(pcapng.section("br") + b"".join(map(pcapng.packet, frames)) + b"\x06\0")
        ways = bytes(2 if frame.data in marks else 1 for frame in frames)
        return Recorded(self.record, len(self.data) + 2, RUN, ways)

    def integrity(self, case: str) -> Integrity:
        return self.trust


class Cell:
    """A session over the stand-ins, and test files run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.driver, self.bridge = FaultlessDriver(), Bridge(folder / "record.pcapng")
        self.events: list[dict[str, Any]] = []
        self.closings: list[Closing] = []
        self.session = Session(SITE, self.driver, self.bridge, self.record, self.events.append)

    def record(self, event: Step | Closing) -> None:
        """Take a line of the plan."""
        if isinstance(event, Step):
            self.bridge.steps.append(event)
            self.bridge.every.append(event)
        else:
            self.closings.append(event)

    def run(self, text: str) -> CaseResult:
        """Run one test file and give its last result."""
        file = self.folder / f"test_inner{next(NUMBER)}.py"  # a module's name is known to Python for ever
        file.write_text(text)
        pytest.main([*PLAIN, f"--rootdir={self.folder}", str(file)], plugins=[CellPlugin(self.session)])
        return self.session.results[-1]


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    return Cell(tmp_path)


def test_what_is_sent_and_seen_passes(cell: Cell) -> None:
    result = cell.run(GOOD)
    assert (result.status, result.reason) == (Status.PASSED, "")
    assert (result.datagrams.expected, result.datagrams.matched) == (1, 1)
    assert result.id == f"{result.group}.py::test_case"
    assert [event["event"] for event in cell.events if event["event"] != "clock"] == ["collected", "begun", "case"]


def test_the_parent_hears_when_the_case_s_clock_runs(cell: Cell) -> None:
    cell.run(GOOD)
    clock = [event["seconds"] for event in cell.events if event["event"] == "clock"]
    assert clock[-1] is None
    started, stopped = clock[::2], clock[1::2]
    assert started
    assert all(seconds is not None and 0 < seconds <= 60.0 for seconds in started)
    assert stopped == [None] * len(started)


def test_a_silent_test_fails_when_its_datagram_is_lost(cell: Cell) -> None:
    cell.bridge.change = lambda frames: frames[:-1]
    result = cell.run(GOOD.replace("wire.expect(", "("))
    assert result.status is Status.FAILED
    assert result.datagrams.missing == 1


LARGE = """
def test_case(wsk, wire):
    with wsk.datagram_socket() as sock:
        wire.expect(sock.burst(wire.peer(9000), count=200, size=64, depth=1))
"""


def test_a_large_case_is_judged_by_its_stretch_of_the_record(cell: Cell) -> None:
    cell.bridge.most = 100
    result = cell.run(LARGE)
    assert (result.status, result.reason) == (Status.PASSED, "")
    assert (result.datagrams.expected, result.datagrams.matched) == (200, 200)
    assert result.evidence == {"frames": "1-200"}
    assert result.verdict_seconds is not None


def test_a_large_case_gets_the_verdict_of_a_small_one(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(frames: Sequence[CapturedFrame]) -> dict[int, Dissection | None]:
        return {frame.number: frame.dissection for frame in dissected(frames)}

    monkeypatch.setattr(one_pass, "dissect_frames", told)
    harms: list[Callable[[list[bytes]], list[bytes]]] = [
        lambda frames: [*frames[:7], *frames[8:]],
        lambda frames: [*frames, frames[7]],
        lambda frames: [*frames[:7], frames[8], frames[7], *frames[9:]],
        lambda frames: [*frames[:7], frames[7][:22] + b"\x07" + frames[7][23:], *frames[8:]],
    ]
    for harm in harms:
        cell.bridge.change, cell.bridge.most = harm, 1000
        small = cell.run(LARGE)
        cell.bridge.most = 100
        large = cell.run(LARGE)
        assert (small.status, large.status) == (Status.FAILED, Status.FAILED)
        assert small.datagrams == large.datagrams
        assert [(item.verdict, item.field, item.seen) for item in small.findings] == [
            (item.verdict, item.field, item.seen) for item in large.findings
        ]


def test_a_large_case_whose_end_is_not_in_the_record_is_inconclusive(cell: Cell) -> None:
    cell.bridge.most, cell.bridge.lasting = 100, False
    result = cell.run(LARGE)
    assert (result.status, result.reason) == (Status.INCONCLUSIVE, "the case's end marker is not in the capture")


def test_a_failed_case_is_made_plain_when_the_capture_has_ended(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_pass, "show", lambda frames: [f"Frame {one.number} in tshark's words" for one in frames])
    cell.bridge.change = lambda frames: [*frames[:-1], frames[-1][:22] + b"\x07" + frames[-1][23:]]
    cell.run(GOOD)
    cell.run(GOOD.replace("wire.expect(", "assert not ("))
    cell.bridge.change = lambda frames: frames
    cell.run(GOOD)
    cell.session.explain(Path("/cell/capture.pcapng"))
    wrong, both, right = cell.session.results
    (words,) = wrong.explained
    for part in ("> ip.ttl", "64", "7", "wireshark -r /cell/capture.pcapng", "in tshark's words", "[07]"):
        assert part in words, words
    assert len(both.explained) == 1
    assert right.explained == ()


def test_many_failures_are_made_plain_each_in_its_first_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_pass, "show", lambda frames: [""] * len(frames))
    plain = Plainly()
    frames = captured([bytes(60)] * 5)
    for number in range(1000):
        findings = [Finding(Verdict.UNEXPECTED, frame.number, None, "frame", "nothing", "x") for frame in frames]
        plain.note(f"case {number}", findings, (), frames)
    told = [len(texts) for texts in plain.told(Path("c")).values()]
    whole = OF_A_CELL // OF_A_CASE
    assert told == [OF_A_CASE] * whole + [1] * (2 * OF_A_CELL)


def test_a_frame_that_nobody_sent_fails(cell: Cell) -> None:
    cell.bridge.change = lambda frames: [*frames, frames[0][:-1] + b"!"]
    assert cell.run(GOOD).status is Status.FAILED


def test_an_expected_send_without_a_predicted_datagram_fails(cell: Cell) -> None:
    result = cell.run(GOOD.replace("wire.peer(9000)", "None"))
    assert result.status is Status.FAILED
    assert any(finding.field == "wire" for finding in result.findings)


def test_a_send_that_must_not_reach_the_wire_but_would(cell: Cell) -> None:
    result = cell.run(GOOD.replace("expect(", "expect_nothing("))
    assert result.status is Status.FAILED
    assert "expected no datagram, seen one" in result.reason


def test_a_failed_assertion_fails_a_case_whose_frames_are_right(cell: Cell) -> None:
    result = cell.run(GOOD + "    assert 1 == 2\n")
    assert (result.status, result.datagrams.matched) == (Status.FAILED, 1)
    assert result.reason.startswith("AssertionError")


def test_a_lossy_capture_is_inconclusive_even_when_an_assertion_failed(cell: Cell) -> None:
    cell.bridge.trust = Integrity(dropped=3)
    result = cell.run(GOOD + "    assert 1 == 2\n")
    assert result.status is Status.INCONCLUSIVE
    assert "lost 3 frames" in result.reason


def test_a_lab_error_is_inconclusive_and_ends_the_cell(cell: Cell) -> None:
    cell.driver.error = LabError("the connection broke")
    result = cell.run(GOOD + "\ndef test_next(wsk):\n    pass\n")
    assert [each.status for each in cell.session.results] == [Status.INCONCLUSIVE] * 2
    assert "not run: the connection broke" in result.reason
    assert len(cell.bridge.started) == 1


def test_a_failure_of_the_driver_fails_the_case_only(cell: Cell) -> None:
    cell.driver.error = Failure("the driver did not answer")
    assert cell.run(GOOD).reason == "the driver did not answer"
    cell.driver.error = None
    assert cell.run(GOOD).status is Status.PASSED


def test_a_leak_is_told_once_by_the_case_that_made_it(cell: Cell) -> None:
    cell.driver.books = op.Accounts(irps=2, sends=5, completed=5)
    result = cell.run(GOOD)
    assert result.status is Status.FAILED
    assert any(finding.field == "accounts.irps" and finding.seen == "2" for finding in result.findings)
    cell.driver.books = op.Accounts(irps=2, sends=6, completed=6)
    assert cell.run(GOOD).status is Status.PASSED


def test_a_skip_keeps_its_reason(cell: Cell) -> None:
    result = cell.run("import pytest\ndef test_case(wsk):\n    pytest.skip('no second card')\n")
    assert (result.status, result.reason) == (Status.SKIPPED, "no second card")
    marked = cell.run("import pytest\n@pytest.mark.skip(reason='by mark')\ndef test_case(wsk):\n    pass\n")
    assert (marked.status, marked.reason) == (Status.SKIPPED, "by mark")


def test_a_broken_fixture_fails_the_case_once(cell: Cell) -> None:
    fixture = "import pytest\n@pytest.fixture\ndef broken():\n    {}\n"
    before = cell.run(fixture.format("raise ValueError('before')") + "def test_case(wsk, broken):\n    pass\n")
    assert (before.status, before.reason) == (Status.FAILED, "a fixture of the test failed: ValueError: before")
    cell.session.results.clear()
    cell.run(fixture.format("yield\n    raise ValueError('after')") + "def test_case(wsk, broken):\n    pass\n")
    assert [each.status for each in cell.session.results] == [Status.FAILED]


def test_a_record_that_lost_frames_takes_the_verdicts_back(cell: Cell) -> None:
    cell.run(GOOD)
    cell.session.doubt(Integrity(dropped=1))
    assert [each.status for each in cell.session.results] == [Status.INCONCLUSIVE]


def test_a_file_that_cannot_be_read_is_remembered(cell: Cell, tmp_path: Path) -> None:
    plugin = CellPlugin(cell.session)
    (tmp_path / "test_bad.py").write_text("import no_such_module\n")
    pytest.main([*PLAIN, str(tmp_path / "test_bad.py")], plugins=[plugin])
    assert "no_such_module" in plugin.collection_errors[0]


class Unforwarding(Unknown):
    """A lab whose bridge did not forward a frame of the guest."""

    def unforwarded(self) -> Sequence[Finding]:
        return [Finding(Verdict.UNEXPECTED, None, None, "frame", "nothing", "74 bytes to 01:80:c2:00:00:02")]


def test_a_frame_that_the_bridge_did_not_forward_fails_the_case_live_and_in_the_plan(cell: Cell) -> None:
    cell.session.lab = Unforwarding()
    result = cell.run(GOOD)
    assert result.status is Status.FAILED
    assert [(item.verdict, item.field) for item in cell.closings[-1].findings] == [(Verdict.UNEXPECTED, "frame")]
