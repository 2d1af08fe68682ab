"""What the lab knows of its own faults goes into the verdict: late frames, silent peers, a clock that is set."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace

import pytest

from harness.capture.clock import Clock
from harness.capture.frames import CapturedFrame, Integrity
from harness.cell.lab import cut_links, taps, unvouched
from harness.model.checksum import folded_sum
from harness.model.predict import predict
from harness.results.record import CaseResult, CellResult
from harness.results.status import Status
from harness.selftest.defects import faults
from harness.verify.forms import Scene
from harness.verify.judge import doubts_of, judge
from harness.verify.late import Late
from harness.verify.neighbours import silent
from harness.verify.verdict import CaseVerdict, DatagramCounts, Finding, Verdict
from harness.wsk import operations as op
from harness.wsk.types import WskBuf
from tests.unit.verify_kit import GUEST_MAC, HOST_MAC, Plan, at, captured, dissected, done, packets, raw, site

SITE = site()
SCENE = Scene(SITE)
XML = """<domain><devices><interface type='bridge'><mac address='52:54:00:d0:00:01'/><source bridge='dut0'/>
<target dev='vnet1'/>{}</interface></devices></domain>"""


def arp(operation: int, sender: str, sender_ip: str, target_ip: str) -> bytes:
    mac = bytes.fromhex(sender.replace(":", ""))
    addresses = [bytes(map(int, text.split("."))) for text in (sender_ip, target_ip)]
    head = b"\xff" * 6 + mac + b"\x08\x06" + b"\0\x01\x08\0\x06\x04" + operation.to_bytes(2, "big")
    return head + mac + addresses[0] + bytes(6) + addresses[1]


def neighbour(kind: int, source_mac: str, target: bytes) -> bytes:
    mac = bytes.fromhex(source_mac.replace(":", ""))
    addresses = (
        bytes.fromhex("20010db8000000010000000000000010") + bytes.fromhex("ff0200000000000000000001ff") + target[13:]
    )
    body = bytes([kind]) + bytes(7) + target + b"\x01\x01" + mac
    checksum = 0xFFFF - folded_sum(addresses + struct.pack(">II", len(body), 58) + body)
    body = body[:2] + checksum.to_bytes(2) + body[4:]
    ip = b"\x60\0\0\0" + len(body).to_bytes(2) + b"\x3a\xff" + addresses
    return b"\x33\x33\xff" + target[13:] + mac + b"\x86\xdd" + ip + body


def frames(*data: bytes) -> list[CapturedFrame]:
    return captured(list(data))


def test_a_peer_that_answers_nobody_is_silent() -> None:
    asked = arp(1, GUEST_MAC, "192.0.2.10", "192.0.2.3")
    (line,) = silent(frames(asked, asked), SCENE)
    assert line == "the host peer 192.0.2.3 never answered: the guest asked for its MAC 2 times"
    target = bytes.fromhex("20010db8000000010000000000000002")
    (line,) = silent(frames(neighbour(135, GUEST_MAC, target)), SCENE)
    assert "2001:db8:0:1::2 never answered" in line


def test_a_peer_that_answers_and_a_stranger_that_does_not_are_no_doubt() -> None:
    asked = arp(1, GUEST_MAC, "192.0.2.10", "192.0.2.3")
    assert silent(frames(asked, arp(2, HOST_MAC, "192.0.2.3", "192.0.2.10")), SCENE) == []
    assert silent(frames(arp(1, GUEST_MAC, "192.0.2.10", "192.0.2.77")), SCENE) == []
    target = bytes.fromhex("20010db8000000010000000000000002")
    assert silent(frames(neighbour(135, GUEST_MAC, target), neighbour(136, HOST_MAC, target)), SCENE) == []


def sends(*payloads: bytes) -> Plan:
    plan = Plan()
    number = plan.socket()
    for payload in payloads:
        buffer = WskBuf.of(payload)
        plan.add(op.SendTo(number, buffer, remote=at("192.0.2.1")), op.Outcome(completion=done(len(payload))))
    return plan


def test_a_datagram_missing_for_want_of_a_mac_is_the_labs_fault() -> None:
    plan = sends(b"hello")
    predictions = predict(plan.steps, SITE)
    asked = dissected(frames(arp(1, GUEST_MAC, "192.0.2.10", "192.0.2.1")))
    verdict = judge(predictions, plan.steps, asked, Integrity(), SITE)
    assert (verdict.status, verdict.counts.missing) == (Status.INCONCLUSIVE, 1)
    assert judge(predictions, plan.steps, [], Integrity(), SITE).status == Status.FAILED


def judged(late: Late, plan: Plan, seen: Sequence[CapturedFrame], case: str) -> CaseVerdict:
    predictions = predict(plan.steps, SITE)
    verdict = judge(predictions, plan.steps, seen, Integrity(), SITE)
    return late.named(case, verdict, predictions, seen)


def test_what_comes_after_its_case_is_late_and_nothing_else_is() -> None:
    late, plan = Late(SITE), sends(b"one", b"two")
    all_frames = raw(packets(predict(plan.steps, SITE), SITE))
    first = judged(late, plan, dissected(frames(*all_frames[:1])), "first")
    assert [finding.field for finding in first.findings] == ["datagram"]
    stray = all_frames[0][:-3] + b"one"  # what matched already, again
    seen = dissected(frames(all_frames[1], stray))
    second = judged(late, Plan(), seen, "second")
    assert sorted(finding.field for finding in second.findings) == ["datagram", "datagram.late"]
    (told,) = (finding for finding in second.findings if finding.field == "datagram.late")
    assert (told.expected, told.frame) == (f"in first, step {plan.steps[-1].number}", 1)
    assert second.reason.startswith(second.findings[0].line())
    third = judged(late, Plan(), dissected(frames(all_frames[1])), "third")
    assert [finding.field for finding in third.findings] == ["datagram"]  # late once, and then a copy


def test_a_step_of_the_wall_clock_is_told_once_and_slewing_is_none() -> None:
    wall, steady = [5_000_000_000], [0]
    clock = Clock(lambda: wall[0], lambda: steady[0])
    wall[0], steady[0] = wall[0] + 900_300_000_000, 900_000_000_000
    assert clock.step() == ""
    wall[0] -= 3600 * 10**9
    assert clock.step() == "the host's clock was set by -3600 s, or the host slept, while the case ran"
    assert clock.step() == ""


def test_what_is_known_of_a_problem_is_told_before_what_is_not() -> None:
    assert doubts_of(Integrity(dropped=None, problems=("dumpcap died",)))[0] == "dumpcap died"


@pytest.mark.parametrize(
    ("verdict", "asked"),
    [
        (CaseVerdict(failure="missing"), True),
        (CaseVerdict(), True),  # nobody looked
        (CaseVerdict(DatagramCounts(matched=1)), False),
        (CaseVerdict(doubts=("the capture lost frames",)), False),
    ],
)
def test_a_broken_lab_takes_the_verdict_of_a_case_that_nothing_vouches_for(verdict: CaseVerdict, asked: bool) -> None:
    assert unvouched(verdict) is asked


def test_links_and_taps_are_read_from_the_domain() -> None:
    assert cut_links(XML.format("")) == []
    assert cut_links(XML.format("<link state='down'/>")) == ["52:54:00:d0:00:01"]
    assert taps(XML.format("")) == {"52:54:00:d0:00:01": ("vnet1", "dut0")}


FAULT = faults.Fault("x", "L", "", "t", ("reason:QEMU is gone",))


@pytest.mark.parametrize(
    ("status", "reason", "why"),
    [
        (Status.INCONCLUSIVE, "QEMU is gone, killed", ""),
        (Status.INCONCLUSIVE, "something", "named wrongly"),
        (Status.FAILED, "QEMU is gone", "failed, not inconclusive"),
        (Status.PASSED, "QEMU is gone", "passed, not inconclusive"),
    ],
)
def test_a_lab_fault_is_caught_by_class_and_name(status: Status, reason: str, why: str) -> None:
    case = CaseResult("t", status, reason)
    assert faults.judge(FAULT, CellResult("wine", "e1000", status, cases=(case,)), 1.0).why == why
    assert faults.judge(FAULT, CellResult("wine", "e1000", status, reason=reason), 1.0).why == why


def test_a_wire_fault_that_the_driver_is_blamed_for_must_fail() -> None:
    fault = replace(FAULT, expects=("unexpected:datagram.late",), inconclusive=False)
    late = CaseResult("t", Status.FAILED, "x", findings=(Finding(Verdict.UNEXPECTED, field="datagram.late"),))
    plain = replace(late, findings=(Finding(Verdict.UNEXPECTED, field="datagram"),))
    assert faults.judge(fault, CellResult("wine", "e1000", Status.FAILED, cases=(late,)), 1.0).caught
    assert not faults.judge(fault, CellResult("wine", "e1000", Status.FAILED, cases=(plain,)), 1.0).caught
