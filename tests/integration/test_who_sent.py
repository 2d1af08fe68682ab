"""A guest that sends as the host, or forges markers, through a real bridge: one verdict, live and by both readers."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from harness.capture.marker import Edge, Marker
from harness.capture.origin import Direction
from harness.capture.session import CaptureSession
from harness.cell.large import judge_large
from harness.lab.network import DUT_BRIDGE, SPARE_PORT, LabNetwork
from harness.lab.reserved import ReservedFrames
from harness.model.addresses import mac_bytes
from harness.offline.verify import Reader, verify_plan
from harness.results.status import Status
from harness.selftest.defects.relay import SENDERS, relay
from harness.trace.trace_lines import Header, Plan
from harness.verify.judge import judge
from harness.verify.verdict import Verdict
from harness.wsk import operations as op
from harness.wsk.types import AF_INET
from tests.integration.frames import datagram, guest_socket
from tests.unit.verify_kit import GUEST_MAC, HOST_MAC, captured, done, site

SITE = site()
HOST, GUEST = mac_bytes(HOST_MAC), mac_bytes(GUEST_MAC)
STEPS = (op.Step(1, "case", op.Open(1, AF_INET), op.Outcome(completion=done())),)
FRAMES = {
    "the host's MAC": GUEST + HOST + b"\x08\x00" + bytes(60),
    "the markers' EtherType": HOST + GUEST + b"\x88\xb5" + bytes(60),
    "an end marker": Marker(bytes(16), 1, Edge.END, 99, "case").encode(HOST),
    "a start marker": Marker(bytes(16), 2, Edge.START, 99, "next").encode(HOST),
}


@pytest.mark.lab
@pytest.mark.parametrize("what", FRAMES)
@pytest.mark.parametrize("held", [1000, 5], ids=["held", "large"])
def test_a_guests_frame_is_the_guests(what: str, held: int, tmp_path: Path) -> None:
    """``large`` goes the way of a case of more frames than a session holds."""
    with (
        LabNetwork(),
        CaptureSession(DUT_BRIDGE, tmp_path, most_held=held) as session,
        contextlib.closing(guest_socket()) as guest,
    ):
        session.begin("case")
        for _ in range(10):
            guest.send(FRAMES[what])
        session.end("case", None, 0.1)
        integrity = session.integrity("case")
        if session.extent("case").large:
            live, _ = judge_large(session.recorded("case"), "case", STEPS, integrity, SITE)
        else:
            live = judge((), STEPS, session.frames("case"), integrity, SITE)
        assert session.stop().problems == ()
    assert (live.status, [item.verdict for item in live.findings]) == (Status.FAILED, [Verdict.UNEXPECTED] * 10)
    plan = Plan(Header("run", "linux", SITE.to_json(), markers=session.secret), STEPS)
    for reader in (Reader.TSHARK, Reader.FAST):
        said = verify_plan(session.path, plan, SITE, reader)
        assert [finding for _, finding in said.findings] == list(live.findings)
        assert said.status is Status.FAILED


@pytest.mark.lab
def test_the_record_says_who_sent_each_frame(tmp_path: Path) -> None:
    """In the way that Wireshark shows it: 1 is inbound, 2 is outbound."""
    with (
        LabNetwork(),
        CaptureSession(DUT_BRIDGE, tmp_path) as session,
        contextlib.closing(guest_socket()) as guest,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host,
    ):
        session.begin("case")
        guest.send(FRAMES["the host's MAC"])
        host.sendto(b"from the host", ("192.0.2.10", 9000))  # the host asks for the guest's MAC by ARP
        session.end("case", None, 0.1)
        frames = session.frames("case")
        assert session.stop().problems == ()
    assert [frame.direction for frame in frames[:2]] == [Direction.INBOUND, Direction.OUTBOUND]
    fields = ["-T", "fields", "-e", "frame.packet_flags_direction"]
    shown = subprocess.run(["tshark", "-n", "-r", session.path, *fields], capture_output=True, text=True, check=True)
    ways = [int(line, 0) for line in shown.stdout.split()]
    assert ways[:3] == [2, 2, 1]  # the markers that prove the capture and open the case, the guest's frame
    assert set(ways[3:]) == {2}


@pytest.mark.lab
@pytest.mark.parametrize("last", range(16))
def test_a_frame_to_a_reserved_address_is_the_guests_and_no_loss(last: int, tmp_path: Path) -> None:
    """The bridge shows it, or who listens on the ports tells of it; the capture has lost nothing either way."""
    frame = bytes.fromhex(f"0180c20000{last:02x}") + GUEST + b"\x88\xcc" + bytes(60)
    with LabNetwork() as network, ReservedFrames(DUT_BRIDGE) as reserved, contextlib.closing(guest_socket()) as guest:
        before = network.counters()
        lost = lambda: reserved.lost(lambda: sum(network.counters().since(before).values()))  # noqa: E731
        with CaptureSession(DUT_BRIDGE, tmp_path, lost_elsewhere=lost) as session:
            session.begin("case")
            for _ in range(5):
                guest.send(frame)
            session.end("case", None, 0.1)
            integrity = session.integrity("case")
            shown = [each.data for each in session.frames("case")]
            assert session.stop().dropped == 0
        told = reserved.take()
    assert (integrity.dropped, integrity.problems) == (0, ())
    assert shown + [data for _, data in told] == [frame] * 5
    assert {port for port, _ in told} <= {SPARE_PORT}
    assert (not shown) == (last in (1, 2)), "only these two are never forwarded"
    verdict = judge((), STEPS, captured(shown), integrity, SITE, tshark=False)
    assert [item.verdict for item in verdict.findings] == [Verdict.UNEXPECTED] * len(shown)


@pytest.mark.lab
@pytest.mark.parametrize("fault", SENDERS)
def test_each_fault_of_the_sender_adds_a_frame_that_is_unexpected(fault: str, tmp_path: Path) -> None:
    """The faults of ``harness defects``, with a socket in the guest's place."""
    with (
        LabNetwork(),
        ReservedFrames(DUT_BRIDGE) as reserved,
        CaptureSession(DUT_BRIDGE, tmp_path) as session,
        contextlib.closing(guest_socket()) as guest,
    ):
        session.begin("case")
        with relay(DUT_BRIDGE, SPARE_PORT, SENDERS[fault], 1, reserved.note):
            guest.send(datagram(b"its own"))
            threading.Event().wait(0.3)  # for the relay
        session.end("case", None, 0.1)
        verdict = judge((), STEPS, session.frames("case"), session.integrity("case"), SITE)
        told = reserved.take()  # from a port that is gone, as in a case whose relay ends with its test
    own = [item for item in verdict.findings if item.field == "datagram" and "7 bytes" in item.seen]
    others = [item for item in verdict.findings if item not in own[:1]]
    assert {item.verdict for item in others} <= {Verdict.UNEXPECTED}
    assert (len(own[:1]), len(others) + len(told)) == (1, 1)
