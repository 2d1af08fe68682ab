"""The capture: live when it says so, nothing lost, right dissection, and the record agrees with what was judged."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.capture import dumpcap, marker, pcapng
from harness.capture.dumpcap import Record
from harness.capture.frames import CapturedFrame, Checksum
from harness.capture.marker import Edge, Marker, MarkerSender
from harness.capture.pcapng import PcapngReader
from harness.capture.session import CaptureSession
from harness.capture.tshark import one_pass
from harness.capture.tshark.live import Dissector
from harness.errors import LabError
from harness.lab.network import DUT_BRIDGE, DUT_NIC_MAC, LabNetwork
from harness.model.addresses import mac_bytes
from tests.integration.frames import datagram, datagram6, fragments, guest_socket, ipv4, udp4

RUN = bytes(range(16))
GUEST = mac_bytes(DUT_NIC_MAC)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[CaptureSession]:
    with LabNetwork() as network:
        lost = lambda: sum(network.counters().dropped.values())  # noqa: E731
        with CaptureSession(DUT_BRIDGE, tmp_path, lost_elsewhere=lost) as running:
            yield running


def children(name: str) -> list[int]:
    return [
        int(folder.name)
        for folder in Path("/proc").glob("[0-9]*")
        if (folder / "comm").exists() and (folder / "comm").read_text().strip() == name
    ]


@pytest.mark.lab
def test_no_marker_is_lost_from_readiness_on(tmp_path: Path) -> None:
    """2,000 markers from the moment that dumpcap is called ready, as fast as they can be sent."""
    with LabNetwork():
        record = Record(DUT_BRIDGE, tmp_path / "c.pcapng", tmp_path / "log")
        sender = MarkerSender(DUT_BRIDGE)
        sent = [Marker(RUN, 1, Edge.LIVE, number) for number in range(2000)]
        for each in sent:
            sender.send(each)
        frames: list[CapturedFrame] = []
        record.read_until(sender.encoded(sent[-1]), 10, frames.extend)
        rest, dropped = record.finish()
        sender.close()
    assert [seen for frame in frames + rest if (seen := marker.decode(frame.data))] == sent
    assert dropped == 0


@pytest.mark.lab
def test_a_record_that_reaches_its_limit_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dumpcap, "MOST_KB", 100)
    with (
        LabNetwork(),
        CaptureSession(DUT_BRIDGE, tmp_path) as session,
        contextlib.closing(guest_socket()) as guest,
    ):
        session.begin("flood")
        for _ in range(1000):
            guest.send(datagram(bytes(1000)))
        assert session._record is not None
        with pytest.raises(LabError, match=r"reached its limit of 0\.0001 GB"):
            session._record.read_until(b"never", 10.0, lambda frames: None)
        assert "reached its limit" in session.integrity("flood").problems[-1]
    assert session.path.stat().st_size < 1_000_000


@pytest.mark.lab
def test_a_case_holds_its_own_frames_and_those_since_the_case_before_it(session: CaptureSession) -> None:
    with contextlib.closing(guest_socket()) as guest:
        guest.send(datagram(b"before"))
        for name, wanted in (("first", [b"first"]), ("second", [b"between", b"second"])):
            session.begin(name)
            guest.send(datagram(name.encode()))
            session.end(name, 1, 2)
            guest.send(datagram(b"between"))
            payloads = [frame.dissection and frame.dissection.payload for frame in session.frames(name)]
            assert payloads == wanted
            assert session.integrity(name) == session.integrity("first")
            assert session.integrity(name).dropped == 0
        with pytest.raises(LabError, match="not held any more"):
            session.frames("first")


@pytest.mark.lab
def test_frames_are_numbered_as_in_the_record(session: CaptureSession) -> None:
    with contextlib.closing(guest_socket()) as guest:
        session.begin("case")
        guest.send(datagram(b"a"))
        guest.send(datagram6(b"b"))
        session.end("case", 2, 2)
    frames = session.frames("case")
    assert session.stop().problems == ()
    with PcapngReader(session.path) as reader:
        recorded = reader.read()
    for frame in frames:
        assert recorded[frame.number - 1] == frame
    shown = subprocess.run(
        ["tshark", "-n", "-r", session.path, "-Y", "udp", "-T", "fields", "-e", "frame.number"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.split() == [str(frame.number) for frame in frames]


@pytest.mark.lab
def test_dissection_tells_good_from_bad_and_reassembles(session: CaptureSession) -> None:
    big = bytes(range(256)) * 20
    pieces = fragments(big)
    spoilt = ipv4(udp4(b"spoilt", spoil=1))
    header = bytearray(datagram(b"header"))
    header[24] ^= 1
    unchecked = bytearray(datagram(b""))
    unchecked[40:42] = b"\0\0"
    sent = [datagram(b"good"), spoilt, bytes(header), bytes(unchecked), datagram6(b"six"), *pieces]
    with contextlib.closing(guest_socket()) as guest:
        session.begin("case")
        for frame in sent:
            guest.send(frame)
        session.end("case", len(sent), 2)
    frames = session.frames("case")
    assert [frame.data for frame in frames] == sent
    good, bad, badly_headed, without, six, *cut = [frame.dissection for frame in frames if frame.dissection]
    assert (good.ip_checksum, good.udp_checksum, good.payload) == (Checksum.GOOD, Checksum.GOOD, b"good")
    assert (good.source, good.destination, good.source_port) == ("192.0.2.10", "192.0.2.1", 50000)
    assert good.expert == ()
    assert bad.udp_checksum is Checksum.BAD
    assert any(text.startswith("error: Bad checksum") for text in bad.expert)
    assert (badly_headed.ip_checksum, badly_headed.udp_checksum) == (Checksum.BAD, Checksum.GOOD)
    assert (without.udp_checksum, without.payload) == (Checksum.ABSENT, b"")
    assert (six.ip_checksum, six.udp_checksum, six.payload) == (Checksum.ABSENT, Checksum.GOOD, b"six")
    assert [part.payload for part in cut] == [None] * (len(pieces) - 1) + [big]
    numbers = tuple(frame.number for frame in frames[5:])
    assert (cut[-1].reassembled_from, cut[-1].udp_checksum) == (numbers, Checksum.GOOD)


@pytest.mark.lab
def test_payloads_are_data_whatever_the_port(session: CaptureSession) -> None:
    ports = (53, 67, 123, 443, 4791, 5353, 6081)
    with contextlib.closing(guest_socket()) as guest:
        session.begin("case")
        for port in ports:
            sent = bytearray(datagram(b"\x01\x02\x03 no such protocol"))
            sent[36:38] = struct.pack("!H", port)
            guest.send(sent)
        session.end("case", len(ports), 2)
    for frame in session.frames("case"):
        assert frame.dissection is not None
        assert frame.dissection.protocols == "eth:ethertype:ip:udp:data"


@pytest.mark.lab
def test_verdicts_need_not_wait_for_the_capture(session: CaptureSession) -> None:
    """From the last frame on the bridge to its dissection: 50 ms in the median at most."""
    delays = []
    with contextlib.closing(guest_socket()) as guest:
        for number in range(40):
            case = f"case {number}"
            session.begin(case)
            guest.send(datagram(b"x" * number))
            sent = time.perf_counter()
            session.end(case, 1, 2)
            assert len(session.frames(case)) == 1
            delays.append(time.perf_counter() - sent)
    assert statistics.median(delays) <= 0.050


@pytest.mark.lab
def test_a_burst_is_seen_whole_and_in_order(session: CaptureSession) -> None:
    with contextlib.closing(guest_socket()) as guest:
        session.begin("burst")
        for number in range(3000):
            guest.send(datagram(struct.pack("<Q", number)))
        session.end("burst", 3000, 10)
    frames = session.frames("burst")
    payloads = [frame.dissection.payload for frame in frames if frame.dissection]
    assert payloads == [struct.pack("<Q", number) for number in range(3000)]
    assert session.integrity("burst").dropped == 0
    assert session.stop().problems == ()


@pytest.mark.lab
def test_a_large_case_is_whole_in_the_record_and_the_next_one_is_as_any_other(tmp_path: Path) -> None:
    pieces = fragments(bytes(5000))
    with (
        LabNetwork(),
        CaptureSession(DUT_BRIDGE, tmp_path, most_held=100) as session,
        contextlib.closing(guest_socket()) as guest,
    ):
        session.begin("large")
        for number in range(300):
            guest.send(datagram(struct.pack("<Q", number)))
        session.end("large", 300, 10)
        extent = session.extent("large")
        assert (extent.large, extent.last - extent.first) == (True, 299)
        with pytest.raises(LabError, match="not held any more"):
            session.frames("large")
        found = session.recorded("large")
        path, start = found.path, found.start
        with PcapngReader(path) as reader:
            recorded = reader.read()
        assert extent.first == start + 1
        assert [frame.data for frame in recorded[start : extent.last]] == [
            datagram(struct.pack("<Q", number)) for number in range(300)
        ]
        session.begin("small")
        for piece in pieces:
            guest.send(piece)
        session.end("small", len(pieces), 2)
        frames = session.frames("small")
        numbers = tuple(range(extent.last + 3, extent.last + 3 + len(pieces)))  # after two markers
        assert tuple(frame.number for frame in frames) == numbers
        assert frames[-1].dissection is not None
        assert frames[-1].dissection.reassembled_from == numbers
        # tshark is past the large case by now, and nothing of what it said of it is kept.
        assert not any(session._dissector.get(number) for number in range(extent.first, extent.last + 1))
        assert not session.extent("small").large
        assert session.stop().problems == ()


def test_what_is_forgotten_is_gone_whether_tshark_has_spoken_of_it_or_not(tmp_path: Path) -> None:
    data = datagram(b"x")
    frames = [CapturedFrame(number, 0, data, len(data)) for number in range(1, 21)]
    with contextlib.closing(Dissector(DUT_BRIDGE, tmp_path / "log")) as dissector:
        dissector.feed(frames[:10])
        dissector.await_number(10, 10)
        dissector.forget(5)
        dissector.forget(15)
        dissector.forget(3)  # what was let go stays gone
        dissector.feed(frames[10:])
        dissector.await_number(20, 10)
        assert [frame.number for frame in frames if dissector.get(frame.number)] == [16, 17, 18, 19, 20]


@pytest.mark.lab
def test_waiting_for_frames_that_do_not_come_ends_at_the_deadline(session: CaptureSession) -> None:
    session.begin("case")
    started = time.monotonic()
    session.end("case", 1, 0.2)
    assert 0.2 <= time.monotonic() - started < 1
    assert list(session.frames("case")) == []


@pytest.mark.lab
def test_a_dead_dumpcap_is_told_at_once(session: CaptureSession) -> None:
    session.begin("case")
    (dumpcap,) = children("dumpcap")
    os.kill(dumpcap, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while not session.integrity("case").problems and time.monotonic() < deadline:
        pass
    assert session.integrity("case").problems == ("the capture (dumpcap) ended by itself (killed by SIGKILL)",)
    assert session.stop().problems != ()


@pytest.mark.lab
def test_a_dead_tshark_is_a_lab_error(session: CaptureSession) -> None:
    (tshark,) = children("tshark")
    os.kill(tshark, signal.SIGKILL)
    session.begin("case")
    session.end("case", 0, 0)
    with pytest.raises(LabError, match="tshark"):
        session.frames("case")


@pytest.mark.lab
def test_a_record_that_lacks_a_frame_is_a_problem(session: CaptureSession) -> None:
    with contextlib.closing(guest_socket()) as guest:
        session.begin("case")
        guest.send(datagram(b"seen live"))
        session.end("case", 1, 2)
    session._seen.add([CapturedFrame(0, 0, datagram(b"not recorded"), 60)])  # as if dumpcap had lost it
    assert session.stop().problems == ("1 frame missing in the record",)
    assert session.integrity("case").problems == ("1 frame missing in the record",)


@pytest.mark.lab
def test_no_guest_receives_a_marker(session: CaptureSession) -> None:
    with contextlib.closing(guest_socket()) as guest:
        session.begin("case")
        session.end("case", 0, 0)
        guest.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            while True:
                assert marker.decode(guest.recv(2048)) is None


def test_a_marker_survives_the_wire_and_nothing_else_is_one() -> None:
    original = Marker(RUN, 3, Edge.END, 9)
    frame = original.encode(b"\x02\0\0\0\xd0\x01")
    assert len(frame) == 60
    assert marker.decode(frame) == original
    assert marker.decode(frame[:14] + b"WSKX" + frame[18:]) is None
    assert marker.decode(frame[:30]) is None


def stream(*frames: bytes) -> bytes:
    from harness.capture.frames import CapturedFrame

    return pcapng.section("x0") + b"".join(
        pcapng.packet(CapturedFrame(0, 1_700_000_000_123_456_789, data, len(data))) for data in frames
    )


def test_a_growing_file_is_read_block_by_block(tmp_path: Path) -> None:
    path, data = tmp_path / "c.pcapng", stream(b"\x01" * 60, b"\x02" * 61)
    path.touch()
    seen = []
    with PcapngReader(path) as reader, path.open("ab", buffering=0) as file:
        for at in range(len(data)):
            file.write(data[at : at + 1])
            seen += reader.read()
        assert reader.incomplete == 0
    assert [frame.data for frame in seen] == [b"\x01" * 60, b"\x02" * 61]
    assert [(frame.number, frame.time_ns, frame.interface) for frame in seen] == [
        (1, 1_700_000_000_123_456_789, "x0"),
        (2, 1_700_000_000_123_456_789, "x0"),
    ]


@pytest.mark.parametrize(
    ("at", "value", "complaint"),
    [(0, 0x12345678, "not a pcapng file"), (4, 3, "3 bytes long"), (4, 1 << 31, "bytes long"), (-4, 0, "at its end")],
)
def test_a_file_that_lies_is_a_lab_error(tmp_path: Path, at: int, value: int, complaint: str) -> None:
    data = bytearray(stream(b"\x01" * 60))
    at %= len(data)
    data[at : at + 4] = struct.pack("<I", value)
    path = tmp_path / "c.pcapng"
    path.write_bytes(data)
    with PcapngReader(path) as reader, pytest.raises(LabError, match=complaint):
        reader.read()


def test_tshark_shows_each_of_several_frames_under_its_own_number() -> None:
    made = {17: datagram(b"first"), 4: datagram(b"second one")}
    frames = [CapturedFrame(number, number * 10**9, data, len(data)) for number, data in made.items()]
    first, second = one_pass.show(frames)
    assert first.startswith(f"Frame 17: {len(made[17])} bytes on wire")
    assert second.startswith(f"Frame 4: {len(made[4])} bytes on wire")
    assert "Data (5 bytes)" in first
    assert "Data (10 bytes)" in second
    assert "Data (10 bytes)" not in first
    assert one_pass.show([]) == []
