"""Frames between two cases belong to the second one, in a run and from its files; those of a restart belong to none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from harness.capture import pcapng
from harness.capture.frames import CapturedFrame, Dissection
from harness.capture.marker import Marker
from harness.capture.origin import Direction
from harness.capture.session import CaptureSession
from harness.capture.tshark import one_pass
from harness.cell.session import Session
from harness.errors import Failure
from harness.model.addresses import mac_bytes
from harness.offline.verify import Reader, verify_plan
from harness.results.record import UNLOAD
from harness.results.status import Status
from harness.trace import trace_lines as plans
from harness.verify.closing import Closing
from harness.wsk import operations as op
from tests.corpus.story import SITE, frames
from tests.unit.test_session_case import FaultlessDriver
from tests.unit.verify_kit import GUEST_MAC, HOST_MAC, captured, dissected

GUEST = mac_bytes(GUEST_MAC)
STRAY = frames("sends")[0]
ARP = b"\xff" * 6 + GUEST + bytes.fromhex("0806 0001 0800 0604 0001") + GUEST + SITE.interfaces4[0].ip.packed + bytes(6)
ARP += SITE.interfaces4[0].ip.packed


class Live:
    """A session over a capture whose bridge is this object; nothing but markers and what a test puts there passes."""

    def __init__(self, folder: Path, most_held: int = 1000) -> None:
        self.folder = folder
        self.capture = CaptureSession("dut0", folder, most_held=most_held)
        inner = cast(Any, self.capture)
        inner._sender = inner._tap = inner._dissector = inner._seen = inner._record = self
        inner._recorded, inner._live = self, True
        self.passed: list[CapturedFrame] = []
        self.lines: list[op.Step | Closing] = []
        self.driver = FaultlessDriver()
        self.session = Session(SITE, self.driver, self.capture, self.lines.append, lambda event: None)

    def put(self, *data: bytes, way: Direction = Direction.INBOUND) -> None:
        """Frames pass the bridge."""
        made = [replace(frame, direction=way) for frame in captured(data)]
        made = [replace(frame, number=number) for number, frame in enumerate(made, len(self.passed) + 1)]
        self.passed += made
        self.capture._deliver(made)

    def files(self) -> dict[str, Status]:
        """What `harness verify` says of the session's files."""
        path = self.recorded()
        header = plans.Header("run", "linux", SITE.to_json(), markers=self.capture.secret)
        steps = tuple(line for line in self.lines if isinstance(line, op.Step))
        closings = tuple(line for line in self.lines if isinstance(line, Closing))
        verdict = verify_plan(path, plans.Plan(header, steps, closings), SITE, Reader.FAST)
        assert not verdict.doubts
        return {part.case: part.verdict.status for part in verdict.parts if part.verdict.status is not Status.PASSED}

    def recorded(self) -> Path:
        """The record so far."""
        path = self.folder / "capture.pcapng"
        path.write_bytes(pcapng.section("dut0") + b"".join(map(pcapng.packet, self.passed)))
        return path

    def run(self) -> dict[str, Status]:
        """What the run says, which its files must say, too."""
        said: dict[str, Status] = {
            item.id: item.status for item in self.session.results if item.status is not Status.PASSED
        }
        assert self.files() == said
        return said

    # The marker sender, the tap, tshark and the record.

    def send(self, marker: Marker) -> None:
        self.put(self.encoded(marker), way=Direction.OUTBOUND)

    def encoded(self, marker: Marker) -> bytes:
        return marker.encode(mac_bytes(HOST_MAC))

    def dropped(self) -> int:
        return 0

    def forget(self, number: int) -> None:
        self.forgotten = number

    def feed(self, fresh: object) -> None:
        """It is asked frame by frame."""

    add = feed

    def await_number(self, number: int, seconds: float) -> None:
        """It is always there."""

    def get(self, number: int) -> Dissection | None:
        assert number > self.forgotten
        return dissected([self.passed[number - 1]])[0].dissection

    def require_alive(self) -> None:
        """It is."""

    def read_until(self, mark: bytes, seconds: float, take: Callable[[list[CapturedFrame]], object]) -> None:
        self.recorded()


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Live:
    monkeypatch.setattr(one_pass, "find", lambda: "")
    return Live(tmp_path)


def case(live: Live, name: str, error: Exception | None = None) -> None:
    live.session.begin_case(name)
    live.session.end_case(error)


def test_what_the_guest_sends_between_two_cases_fails_the_second(live: Live) -> None:
    live.put(STRAY)  # its boot
    case(live, "first")
    live.put(STRAY)
    case(live, "second")
    case(live, "third")
    assert live.run() == {"second": Status.FAILED}
    assert live.session.results[1].findings[0].frame == 4


def test_what_its_stack_sends_by_itself_between_two_cases_is_background(live: Live) -> None:
    case(live, "first")
    live.put(ARP)
    case(live, "second")
    assert live.run() == {}
    assert live.session.results[1].background == {"arp": 1}


def test_it_is_not_taken_for_what_the_case_awaits(live: Live) -> None:
    case(live, "first")
    live.put(STRAY)
    live.session.begin_case("second")
    assert live.capture._stretch("second").from_guest == 0


def test_what_comes_while_the_driver_is_renewed_belongs_to_no_case(live: Live) -> None:
    case(live, "first")

    class Hangs:
        broken = True

        def findings(self) -> tuple[()]:
            return ()

        def renew(self) -> None:
            live.put(STRAY)

    watch, live.session.watch = live.session.watch, cast(Any, Hangs())
    case(live, "hangs", Failure("the driver hangs"))
    live.session.watch = watch
    case(live, "third")
    assert live.run() == {"hangs": Status.FAILED}
    live.put(STRAY)
    case(live, "fourth")
    assert live.run() == {"hangs": Status.FAILED, "fourth": Status.FAILED}


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_what_the_guest_sends_after_the_last_case_fails_the_unload(live: Live, when: str) -> None:
    case(live, "first")
    if when == "before":
        live.put(STRAY)
    live.session.end(lambda: live.put(STRAY) if when == "meanwhile" else None)
    assert live.run() == {UNLOAD: Status.FAILED}


def test_an_unload_in_silence_is_no_case_of_the_record(live: Live) -> None:
    case(live, "first")
    live.session.end(lambda: live.put(ARP))
    assert live.run() == {}
    assert [result.id for result in live.session.results] == ["first"]


def test_more_than_a_case_may_hold_comes_between_two(tmp_path: Path) -> None:
    live = Live(tmp_path, most_held=10)
    case(live, "first")
    live.put(*[STRAY] * 30)
    case(live, "second")
    case(live, "third")
    assert live.run() == {"second": Status.FAILED}


def test_a_run_that_judged_nothing_between_its_cases_is_judged_as_it_was(live: Live) -> None:
    case(live, "first")
    live.put(STRAY)
    case(live, "second")
    path = live.recorded()
    closings = tuple(line for line in live.lines if isinstance(line, Closing))
    old = plans.Plan(plans.Header("run", "linux", SITE.to_json()), (), closings)
    assert verify_plan(path, old, SITE, Reader.FAST).status is Status.PASSED
