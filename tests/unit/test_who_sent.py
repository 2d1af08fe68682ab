"""Who sent a frame: by its way into the bridge, never by what its sender wrote; the same live and in files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.capture import directions, pcapng
from harness.capture.files import CaptureFile
from harness.capture.frames import CapturedFrame, Integrity
from harness.capture.marker import Edge
from harness.capture.origin import Direction
from harness.capture.pcapng import PcapngReader
from harness.capture.tshark import one_pass
from harness.model.addresses import mac_bytes
from harness.model.predict import predict
from harness.offline.verify import FileVerdict, Reader, verify_plan
from harness.results.status import Status
from harness.trace import trace_lines as plans
from harness.verify.judge import judge
from harness.verify.verdict import CaseVerdict, Verdict
from tests.corpus.story import RUN, SITE, STEPS, frames, marker
from tests.unit.verify_kit import GUEST_MAC, HOST_MAC, captured

GUEST, HOST = mac_bytes(GUEST_MAC), mac_bytes(HOST_MAC)
IN, OUT = Direction.INBOUND, Direction.OUTBOUND
AS_HOST = GUEST + HOST + b"\x08\x00" + frames("sends")[0][14:]
EXPERIMENT = HOST + GUEST + b"\x88\xb5" + bytes(200)
FORGED_RUN = bytes(16)

Sent = tuple[Direction, bytes]


def guests(data: Sequence[bytes]) -> list[Sent]:
    return [(IN, each) for each in data]


def record(*sent: Sent) -> list[CapturedFrame]:
    made = captured([data for _, data in sent])
    return [replace(frame, direction=way) for frame, (way, _) in zip(made, sent, strict=True)]


def capture(path: Path, made: Sequence[CapturedFrame]) -> Path:
    path.write_bytes(pcapng.section("dut0") + b"".join(map(pcapng.packet, made)))
    return path


def whole(inside: Sequence[Sent]) -> list[Sent]:
    """A session in which ``inside`` comes within the case "sends", among its own frames."""
    own = guests(frames("sends"))
    first = [(OUT, marker(0, Edge.LIVE, 1)), (OUT, marker(1, Edge.START, 2, "sends")), *own[:2], *inside, *own[2:]]
    second = [(OUT, marker(2, Edge.START, 4, "more")), *guests(frames("more")), (OUT, marker(2, Edge.END, 5, "more"))]
    return [*first, (OUT, marker(1, Edge.END, 3, "sends")), *second, (OUT, marker(0, Edge.LIVE, 6))]


def verdict_of(path: Path, made: Sequence[CapturedFrame], markers: bytes = RUN) -> FileVerdict:
    plan = plans.Plan(plans.Header("run", "linux", SITE.to_json(), markers=markers), STEPS)
    return verify_plan(capture(path, made), plan, SITE, Reader.FAST)


def live(inside: Sequence[Sent]) -> CaseVerdict:
    steps = [step for step in STEPS if step.case == "sends"]
    made = record(*guests(frames("sends")), *inside)
    return judge(predict(steps, SITE), steps, made, Integrity(), SITE, tshark=False)


@pytest.fixture(autouse=True)
def _no_tshark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_pass, "find", lambda: "")


INTRUDERS = {
    "the host's MAC": AS_HOST,
    "the markers' EtherType": EXPERIMENT,
    "the markers' EtherType with the host's MAC": HOST + HOST + EXPERIMENT[12:],
    "a forged end marker": marker(1, Edge.END, 9, "sends", run=FORGED_RUN),
    "a forged start marker": marker(2, Edge.START, 9, "more", run=FORGED_RUN),
    "a replayed marker": marker(1, Edge.END, 3, "sends"),
}


@pytest.mark.parametrize("what", INTRUDERS)
def test_a_frame_that_a_port_received_is_the_guests_whatever_it_says(what: str, tmp_path: Path) -> None:
    inside = [(IN, INTRUDERS[what])]
    assert [item.verdict for item in live(inside).findings] == [Verdict.UNEXPECTED]
    said = verdict_of(tmp_path / "c.pcapng", record(*whole(inside)))
    assert [(case, item.verdict, item.frame) for case, item in said.findings] == [("sends", Verdict.UNEXPECTED, 5)]
    assert [part.verdict.status for part in said.parts] == [Status.FAILED, Status.PASSED]


def test_a_frame_that_the_host_sent_is_the_hosts_whatever_it_says(tmp_path: Path) -> None:
    strange = HOST + GUEST + b"\x08\x00" + frames("sends")[0][14:]  # equal to what the guest sends in this case
    inside = [(OUT, strange), (OUT, EXPERIMENT)]
    assert live(inside).status is Status.PASSED
    said = verdict_of(tmp_path / "c.pcapng", record(*whole(inside)))
    assert (said.status, said.parts[0].verdict.background) == (Status.PASSED, (("host", 2),))


def test_the_hosts_copy_of_a_burst_does_not_stand_for_the_guests(tmp_path: Path) -> None:
    sent = whole([])
    at = next(n for n, (way, data) in enumerate(sent) if way is IN and len(data) == 106)
    sent[at] = (OUT, sent[at][1])
    said = verdict_of(tmp_path / "c.pcapng", record(*sent))
    assert [(case, item.verdict) for case, item in said.findings] == [("more", Verdict.MISSING)]


def test_forged_markers_count_for_nothing_where_the_file_has_no_directions(tmp_path: Path) -> None:
    inside = [(IN, marker(1, Edge.END, 9, "sends", run=FORGED_RUN))]
    made = [replace(frame, direction=Direction.UNKNOWN) for frame in record(*whole(inside))]
    said = verdict_of(tmp_path / "c.pcapng", made)
    assert [(case, item.verdict) for case, item in said.findings] == [("sends", Verdict.UNEXPECTED)]
    assert any("told apart by MAC, which a guest can write as well" in note for note in said.notes)


def test_a_frame_without_a_direction_among_others_that_have_one_is_doubtful(tmp_path: Path) -> None:
    made = record(*whole([(Direction.UNKNOWN, AS_HOST)]))
    said = verdict_of(tmp_path / "c.pcapng", made)
    assert [part.verdict.status for part in said.parts] == [Status.INCONCLUSIVE, Status.PASSED]
    assert said.reason.startswith("the capture does not say of 1 frame who sent them")


@pytest.mark.parametrize("end", [Edge.START, Edge.END])
def test_a_marker_without_a_direction_among_others_that_have_one_is_doubtful(tmp_path: Path, end: Edge) -> None:
    bare = marker(1, end, 2 if end is Edge.START else 3, "sends")
    made = record(*((Direction.UNKNOWN, data) if data == bare else (way, data) for way, data in whole([])))
    said = verdict_of(tmp_path / "c.pcapng", made)
    assert said.status is Status.INCONCLUSIVE
    assert "does not say" in said.reason


def test_an_older_run_is_read_and_its_weakness_is_said(tmp_path: Path) -> None:
    made = [replace(frame, direction=Direction.UNKNOWN) for frame in record(*whole([(OUT, AS_HOST)]))]
    said = verdict_of(tmp_path / "c.pcapng", made, markers=b"")
    assert (said.status, said.parts[0].verdict.background) == (Status.PASSED, (("host", 1),))
    assert any("does not name the secret of its markers" in note for note in said.notes)


def test_a_capture_from_elsewhere_does_not_turn_hosts_into_guests(tmp_path: Path) -> None:
    """What a guest captures of itself says "outbound" of its own frames; no marker shows what it means by it."""
    sent = [(OUT, data) for data in (*frames("sends"), *frames("more"))]
    said = verdict_of(tmp_path / "c.pcapng", record(*sent, (IN, AS_HOST)))
    assert said.status is Status.PASSED


def test_the_directions_of_a_record_are_written_and_read(tmp_path: Path) -> None:
    sent = [*whole([]), *[(IN, bytes([n]) * 77) for n in range(40)], (OUT, b"last" * 20)]
    made = record(*sent)
    bare = [replace(frame, direction=Direction.UNKNOWN) for frame in made]
    path = capture(tmp_path / "c.pcapng", bare)
    directions.write(path, bytes(frame.direction for frame in made[:-1]))
    wanted = [*(way for way, _ in sent[:-1]), Direction.UNKNOWN]
    with PcapngReader(path) as reader:
        read = reader.read()
    assert [(frame.data, frame.direction) for frame in read] == [
        (data, way) for (_, data), way in zip(sent, wanted, strict=True)
    ]
    with CaptureFile(path) as file:
        batches = [
            (bool(batch.stride), [batch.frame(at).direction for at in range(len(batch))]) for batch in file.batches()
        ]
    assert [way for _, ways in batches for way in ways] == wanted
    assert any(uniform and IN in ways for uniform, ways in batches), "runs of flagged packets are read in columns"
    assert [item.name for item in tmp_path.iterdir()] == ["c.pcapng"]
