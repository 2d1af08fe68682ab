"""tshark's reading against ours: disagreement is a doubt, a warning about IP or UDP a finding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.capture.frames import CapturedFrame, Checksum
from harness.model.frames import ChecksumField
from harness.verify.agree import Agreement, agree
from harness.verify.parse import dissect
from tests.unit.verify_kit import Plan, captured, dissected, packets, raw, site

SITE = site()


def frames(*sizes: int, partial: bool = False) -> list[CapturedFrame]:
    plan = Plan()
    plan.socket()
    for size in sizes:
        plan.send(bytes(size), "192.0.2.1")
    made = packets(plan.predict(SITE), SITE)
    if partial:
        made = [replace(item, checksum=ChecksumField.PARTIAL) for item in made]
    return dissected(captured(raw(made)))


def agreed(some: list[CapturedFrame], **told: Any) -> Agreement:  # noqa: ANN401 - fields of a Dissection
    last = some[-1]
    assert last.dissection is not None
    some = [*some[:-1], replace(last, dissection=replace(last.dissection, **told))]
    return agree(dissect(some).datagrams, {frame.number: frame for frame in some})


@pytest.mark.parametrize("sizes", [(0,), (5,), (3000,), (1, 2, 65507)])
def test_two_readers_that_agree_leave_no_doubt(sizes: tuple[int, ...]) -> None:
    assert agreed(frames(*sizes)) == Agreement()


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"source": "192.0.2.9"}, "source 192.0.2.9"),
        ({"destination": ""}, "destination nothing"),
        ({"source_port": None}, "source port None"),
        ({"destination_port": 1}, "destination port 1"),
        ({"payload": b"abc"}, "payload of 3 bytes"),
        ({"udp_checksum": Checksum.BAD}, "UDP checksum bad"),
        ({"udp_checksum": Checksum.UNVERIFIED}, "UDP checksum unverified"),
        ({"ip_checksum": Checksum.UNVERIFIED}, "IP checksum unverified"),
    ],
)
def test_each_disagreement_is_a_doubt(told: dict[str, Any], says: str) -> None:
    result = agreed(frames(5), **told)
    assert [says in doubt for doubt in result.doubts] == [True]
    assert result.findings == []


def test_reassembly_must_be_of_the_same_frames() -> None:
    assert "reassembly" in agreed(frames(3000), reassembled_from=(1,)).doubts[0]
    assert agreed(frames(3000), reassembled_from=(1, 2)).doubts == []


@pytest.mark.parametrize(
    ("message", "protocols", "matters"),
    [
        ("Error: Illegal UDP length", "eth:ethertype:ip:udp:data", True),
        ("Warning: something odd", "eth:ethertype:ip:udp", True),
        ("Note: Time To Live", "eth:ethertype:ip:udp:data", False),
        ("Error: Malformed Packet (Exception occurred)", "eth:ethertype:ip:udp:quake", False),
        ("Error: Fragment overlap", "eth:ethertype:ip:udp:quake", True),
    ],
)
def test_warnings_matter_when_they_speak_of_ip_or_udp(message: str, protocols: str, matters: bool) -> None:
    result = agreed(frames(5), expert=(message,), protocols=protocols)
    assert [item.field for item in result.findings] == (["tshark.expert"] if matters else [])


def test_a_partial_checksum_looks_bad_to_tshark_and_that_is_no_disagreement() -> None:
    warning = "Error: Bad checksum [should be 0x1234]"
    assert agreed(frames(5, partial=True), expert=(warning,)) == Agreement()
