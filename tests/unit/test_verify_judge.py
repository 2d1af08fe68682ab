"""Every verdict, provoked by damage to the frames of a faultless guest; undamaged frames give none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.capture.frames import Integrity
from harness.model.addresses import mac_bytes
from harness.model.checksum import folded_sum, pseudo_header
from harness.model.frames import ChecksumField, encode
from harness.model.profile import LINUX, WINDOWS, StackProfile
from harness.model.site import Site
from harness.verify.judge import judge
from harness.verify.verdict import CaseVerdict, Finding, Status, Verdict
from harness.wsk import operations as op
from harness.wsk import options as opt
from harness.wsk.types import AF_INET, AF_INET6, Family
from tests.unit.verify_kit import (
    HOST_MAC,
    Plan,
    altered,
    at,
    captured,
    dissected,
    done,
    packet,
    packets,
    raw,
    site,
    verdict,
)

SITE = site()


def pattern(size: int, seed: int = 0) -> bytes:
    return bytes((n * 7 + seed * 31 + (n >> 8)) & 0xFF for n in range(size))


def several(count: int = 5, size: int = 40) -> Plan:
    plan = Plan()
    plan.socket()
    for number in range(count):
        plan.send(pattern(size, number), "192.0.2.1")
    return plan


def everything() -> Plan:
    plan = Plan()
    plan.socket()
    plan.option(opt.broadcast())
    for size in (0, 1, 17, 18, 19, 1472, 1473, 3000, 65507):
        plan.send(pattern(size, size), "192.0.2.1")
    for target in ("255.255.255.255", "192.0.2.255", "239.1.2.3"):
        plan.send(b"to many", target)
    plan.socket(AF_INET6, number=2)
    for size in (0, 1, 1452, 1453, 65527):
        plan.send(pattern(size, size), "2001:db8:0:1::2", 2)
    plan.send(b"to many", "ff02::1234", 2)
    plan.add(op.Burst(1, at("192.0.2.3"), 50, 64, 8), op.Outcome(completion=done(3200, completions=50)))
    plan.add(op.Burst(1, at("192.0.2.3"), 9, 0, 1), op.Outcome(completion=done(0, completions=9)))
    return plan


def frames_of(plan: Plan) -> list[bytes]:
    return raw(packets(plan.predict(SITE), SITE))


def found(result: CaseVerdict, what: Verdict) -> list[Finding]:
    return [item for item in result.findings if item.verdict is what]


@pytest.mark.parametrize("where", [SITE, site(pads=True), site(partial=True), site(WINDOWS), site(mtu=1400)])
def test_a_faultless_guest_passes(where: object) -> None:
    assert isinstance(where, type(SITE))
    result = verdict(everything(), where, accounts=op.Accounts(sends=9, completed=9))
    assert (result.status, result.reason, result.findings) == (Status.PASSED, "", ())
    assert result.counts.expected == result.counts.matched == 77
    assert len(result.matches) == 18


def test_nothing_captured_is_everything_missing() -> None:
    result = verdict(several(), SITE, [])
    assert (result.status, result.counts.missing) == (Status.FAILED, 5)
    assert [item.operation for item in found(result, Verdict.MISSING)] == [4, 5, 6, 7, 8]


def test_one_lost_datagram_is_missing() -> None:
    frames = frames_of(several())
    result = verdict(several(), SITE, frames[:2] + frames[3:])
    assert (result.counts.missing, result.counts.matched, result.counts.unexpected) == (1, 4, 0)
    assert found(result, Verdict.MISSING)[0].operation == 6


def test_a_copied_frame_is_duplicated() -> None:
    frames = frames_of(several())
    result = verdict(several(), SITE, [*frames, frames[1]])
    assert (result.status, result.counts.duplicated, result.counts.matched) == (Status.FAILED, 1, 5)
    finding = found(result, Verdict.DUPLICATED)[0]
    assert (finding.operation, finding.frame, finding.detail) == (5, 6, "the same IP identification: copied on the way")


def test_a_datagram_sent_twice_is_duplicated_and_told_from_a_copy() -> None:
    made = packets(several().predict(SITE), SITE)
    again = replace(made[1], identification=99)
    result = verdict(several(), SITE, raw([*made, again]))
    assert found(result, Verdict.DUPLICATED)[0].detail == "sent again by the guest"


def test_swapped_frames_are_reordered() -> None:
    frames = frames_of(several())
    frames[1], frames[2] = frames[2], frames[1]
    result = verdict(several(), SITE, frames)
    assert (result.status, result.counts.reordered, result.counts.matched) == (Status.FAILED, 1, 5)
    assert found(result, Verdict.REORDERED)[0].operation == 5


def test_sends_in_flight_together_may_change_places() -> None:
    plan = Plan()
    plan.socket()
    sent = [plan.send(pattern(20, n), "192.0.2.1", wait=False) for n in range(3)]
    collected = {step.number: done(20) for step in sent}
    plan.add(op.Collect(1, tuple(collected)), op.Outcome(collected=collected))
    plan.send(b"after", "192.0.2.1")
    frames = frames_of(plan)
    swapped = verdict(plan, SITE, [frames[2], frames[0], frames[1], frames[3]])
    assert (swapped.status, [item.field for item in swapped.observed]) == (Status.PASSED, ["order"])
    late = verdict(plan, SITE, [frames[0], frames[1], frames[3], frames[2]])
    assert (late.status, late.counts.reordered) == (Status.FAILED, 1)


def change(index: int, value: int | None = None) -> Callable[[bytearray], None]:
    def apply(data: bytearray) -> None:
        data[index] = data[index] ^ 0x10 if value is None else value

    return apply


def swap_port(data: bytearray) -> None:
    data[36], data[37] = data[37], data[36]


@pytest.mark.parametrize(
    ("damage", "field"),
    [
        (change(0), "eth.destination"),
        (change(8), "eth.source"),
        (change(12), "eth.type"),
        (change(14), "ip.version_ihl"),
        (change(15), "ip.tos"),
        (change(17), "ip.length"),
        (change(20, 0), "ip.dont_fragment"),
        (change(22), "ip.ttl"),
        (change(23), "ip.protocol"),
        (change(24), "ip.header_checksum"),
        (change(29), "ip.source"),
        (change(33), "ip.destination"),
        (change(35), "udp.source_port"),
        (swap_port, "udp.destination_port"),
        (change(39), "udp.length"),
        (change(40), "udp.checksum"),
        (change(50), "udp.payload"),
    ],
)
def test_a_damaged_field_is_named(damage: Callable[[bytearray], None], field: str) -> None:
    result = verdict(several(), SITE, altered(frames_of(several()), 2, damage))
    assert result.status is Status.FAILED
    assert (result.counts.altered, result.counts.missing, result.counts.unexpected) == (1, 0, 0)
    first = found(result, Verdict.ALTERED)[0]
    assert (first.field, first.operation, first.frame) == (field, 6, 3)


@settings(deadline=None)
@given(st.integers(0, 7), st.sampled_from([AF_INET, AF_INET6]), st.data())
def test_any_flipped_bit_but_those_of_free_fields_fails(bit: int, family: Family, data: st.DataObject) -> None:
    plan = Plan()
    plan.socket(family)
    for number in range(3):
        plan.send(pattern(30, number), "192.0.2.1" if family is AF_INET else "2001:db8:0:1::1")
    frames = frames_of(plan)
    byte = data.draw(st.integers(0, len(frames[1]) - 1))

    def flip(frame: bytearray) -> None:
        frame[byte] ^= 1 << bit

    result = verdict(plan, SITE, altered(frames, 1, flip))
    flow_label = family is AF_INET6 and (byte in (16, 17) or (byte == 15 and bit < 4))
    assert (result.status is Status.PASSED) == flow_label
    assert result.status is not Status.INCONCLUSIVE
    if not flow_label:
        assert result.counts.altered + result.counts.missing == 1
        assert result.counts.unexpected == 0 or result.counts.missing == 1


def test_bytes_swapped_and_shortened_are_said_in_words() -> None:
    plan = Plan()
    plan.socket()
    plan.send(b"hello world", "192.0.2.1")
    (good,) = packets(plan.predict(SITE), SITE)
    swapped = verdict(plan, SITE, raw([replace(good, destination=at("192.0.2.1", 10275))]))
    assert [(f.field, f.expected, f.seen, f.detail) for f in swapped.findings] == [
        ("udp.destination_port", "9000", "10275", "bytes swapped")
    ]
    cut = verdict(plan, SITE, raw([replace(good, payload=b"hello worl")]))
    assert [(f.field, f.expected, f.seen) for f in cut.findings] == [("udp.payload", "11 bytes", "10 bytes")]
    assert "the last 1 of 11 bytes are missing: 64" in cut.findings[0].detail
    other = verdict(plan, SITE, raw([replace(good, payload=b"hellO world")]))
    assert (other.findings[0].expected, other.findings[0].seen) == (
        "68 65 6c 6c [6f] 20 77 6f 72",
        "68 65 6c 6c [4f] 20 77 6f 72",
    )
    assert other.findings[0].detail == "first differing byte 4, 1 of 11 differ"


def test_an_ignored_offset_is_recognised() -> None:
    plan = Plan()
    plan.socket()
    plan.send(pattern(64)[4:], "192.0.2.1")
    (good,) = packets(plan.predict(SITE), SITE)
    result = verdict(plan, SITE, raw([replace(good, payload=pattern(64)[:60])]))
    assert "the expected bytes start 4 bytes later" in result.findings[0].detail


def test_what_nobody_predicted_is_unexpected() -> None:
    plan = several(1)
    (good,) = packets(plan.predict(SITE), SITE)
    stray = replace(good, payload=b"zzzz", destination=at("192.0.2.2", 77), source=at("192.0.2.10", 1234))
    result = verdict(plan, SITE, raw([good, stray]))
    assert (result.status, result.counts.unexpected, result.counts.matched) == (Status.FAILED, 1, 1)
    assert found(result, Verdict.UNEXPECTED)[0].frame == 2


def test_what_hosts_send_is_not_the_drivers() -> None:
    plan = several(1)
    (good,) = packets(plan.predict(SITE), SITE)
    reply = replace(good, source_mac=mac_bytes(HOST_MAC), source=good.destination, destination=good.source)
    result = verdict(plan, SITE, raw([good, reply]))
    assert (result.status, result.background) == (Status.PASSED, (("host", 1),))


def test_a_group_port_to_a_peer_is_not_background() -> None:
    plan = several(1)
    (good,) = packets(plan.predict(SITE), SITE)
    result = verdict(plan, SITE, raw([good, replace(good, payload=b"q", destination=at("192.0.2.2", 5353))]))
    assert result.counts.unexpected == 1


def test_a_partial_checksum_is_offload_and_not_wrong() -> None:
    plan = several(2)
    made = [replace(item, checksum=ChecksumField.PARTIAL) for item in packets(plan.predict(SITE), SITE)]
    known = verdict(plan, site(partial=True), raw(made))
    assert (known.status, known.counts.matched, known.counts.offload) == (Status.PASSED, 2, 2)
    unknown = verdict(plan, SITE, raw(made))
    assert (unknown.status, unknown.counts.altered, unknown.counts.offload) == (Status.INCONCLUSIVE, 0, 2)
    assert found(unknown, Verdict.OFFLOAD)[0].field == "udp.checksum"


def test_a_wrong_checksum_is_altered_even_where_the_nic_leaves_them_partial() -> None:
    plan = several(1)
    where = site(partial=True)
    frames = raw(packets(plan.predict(where), where))
    result = verdict(plan, where, altered(frames, 0, change(41)))
    assert [item.field for item in found(result, Verdict.ALTERED)] == ["udp.checksum"]


def test_no_checksum_must_be_none() -> None:
    plan = Plan()
    plan.socket()
    plan.option(opt.no_checksum())
    plan.send(b"abc", "192.0.2.1")
    (good,) = packets(plan.predict(SITE), SITE)
    assert verdict(plan, SITE).status is Status.PASSED
    result = verdict(plan, SITE, raw([replace(good, checksum=ChecksumField.FULL)]))
    assert (result.findings[0].field, result.findings[0].expected) == ("udp.checksum", "0x0000")


def test_a_computed_zero_may_stay_where_the_nic_is_known_for_it() -> None:
    """And nowhere else, and no other checksum may be left out there."""
    plan = Plan()
    plan.socket(local=at("192.0.2.10", 50000))
    head = pseudo_header(b"\xc0\x00\x02\x0a", b"\xc0\x00\x02\x01", 10)
    head += (50000).to_bytes(2, "big") + (9000).to_bytes(2, "big") + (10).to_bytes(2, "big") + bytes(2)
    plan.send((0xFFFF - folded_sum(head)).to_bytes(2, "big"), "192.0.2.1")
    known = replace(SITE, zero_checksum_stays=True)
    made = [replace(item, checksum=ChecksumField.ZERO) for item in packets(plan.predict(SITE), SITE)]
    assert verdict(plan, known, raw(made)).status is Status.PASSED
    assert verdict(plan, known).status is Status.PASSED, "0xffff is right everywhere"
    (finding,) = found(verdict(plan, SITE, raw(made)), Verdict.ALTERED)
    assert (finding.field, finding.expected, finding.seen) == ("udp.checksum", "0xffff", "0x0000")
    other = several(1)
    made = [replace(item, checksum=ChecksumField.ZERO) for item in packets(other.predict(SITE), SITE)]
    assert [item.field for item in found(verdict(other, known, raw(made)), Verdict.ALTERED)] == ["udp.checksum"]
    assert Site.from_json(known.to_json()) == known


def fragmented() -> Plan:
    plan = Plan()
    plan.socket()
    plan.send(pattern(4000, 1), "192.0.2.1")
    plan.send(pattern(4000, 2), "192.0.2.1")
    return plan


def test_a_lost_fragment_alters_its_datagram() -> None:
    frames = frames_of(fragmented())
    result = verdict(fragmented(), SITE, frames[:1] + frames[2:])
    assert (result.counts.altered, result.counts.missing, result.counts.matched) == (1, 0, 1)
    assert result.findings[0].field == "ip.fragments"
    assert result.findings[0].operation == 4


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_datagram_without_its_header_is_not_said_to_have_other_ports(lost: int) -> None:
    frames = frames_of(fragmented())
    result = verdict(fragmented(), SITE, frames[:lost] + frames[lost + 1 :])
    assert {item.field for item in result.findings} == {"ip.fragments"}


def test_a_repeated_fragment_is_duplicated() -> None:
    frames = frames_of(fragmented())
    result = verdict(fragmented(), SITE, [*frames[:2], frames[1], *frames[2:]])
    assert (result.status, result.counts.matched) == (Status.FAILED, 2)
    assert found(result, Verdict.DUPLICATED)[0].field == "ip.fragment_repeated"


def test_another_fragmentation_is_altered_on_linux_and_observed_on_windows() -> None:
    def smaller(where: object) -> CaseVerdict:
        assert isinstance(where, type(SITE))
        made = [replace(item, mtu=1300) for item in packets(fragmented().predict(where), where)]
        return verdict(fragmented(), where, raw(made))

    assert found(smaller(SITE), Verdict.ALTERED)[0].field == "ip.fragments"
    windows = smaller(site(WINDOWS))
    assert windows.status is Status.PASSED
    assert "ip.fragments" in {item.field for item in windows.observed}


@pytest.mark.parametrize("profile", [LINUX, WINDOWS])
def test_a_super_frame_is_offload_and_not_wrong(profile: StackProfile) -> None:
    where = site(profile)
    made = [replace(item, mtu=65535) for item in packets(fragmented().predict(where), where)]
    result = verdict(fragmented(), where, raw(made))
    assert (result.status, result.counts.offload, result.counts.altered) == (Status.INCONCLUSIVE, 2, 0)
    assert [item.field for item in found(result, Verdict.OFFLOAD)] == ["eth.length", "eth.length"]


def test_fragments_out_of_order_are_only_observed() -> None:
    frames = frames_of(fragmented())
    result = verdict(fragmented(), SITE, [frames[1], frames[0], *frames[2:]])
    assert result.status is Status.PASSED
    assert "ip.fragment_order" in {item.field for item in result.observed}


def test_padding_is_held_against_what_the_nic_does() -> None:
    plan = several(1, size=3)
    padded = site(pads=True)
    assert verdict(plan, SITE, raw(packets(plan.predict(padded), padded))).findings[0].field == "eth.trailer"
    assert verdict(plan, padded, frames_of(plan)).findings[0].field == "eth.trailer"
    frames = raw(packets(plan.predict(padded), padded))
    leaky = verdict(plan, padded, altered(frames, 0, change(59)))
    assert leaky.findings[0].detail == "padding carries other bytes"


def burst(count: int = 100, size: int = 64, depth: int = 4) -> Plan:
    plan = Plan()
    plan.socket()
    outcome = op.Outcome(completion=done(count * size, completions=count))
    plan.add(op.Burst(1, at("192.0.2.3"), count, size, depth, first=7), outcome)
    return plan


def test_a_bursts_losses_copies_and_damage_are_told_apart() -> None:
    frames = frames_of(burst())
    damaged = altered(frames, 50, change(70))
    result = verdict(burst(), SITE, [*damaged[:10], *damaged[13:], damaged[0]])
    counts = result.counts
    assert (counts.expected, counts.matched, counts.missing, counts.altered, counts.duplicated) == (100, 96, 3, 1, 1)
    assert found(result, Verdict.MISSING)[0].expected == "sequences 17 to 19 (3 datagrams)"
    assert found(result, Verdict.ALTERED)[0].field == "udp.payload"


def test_a_burst_at_depth_one_keeps_its_order() -> None:
    frames = frames_of(burst(depth=1))
    frames[4], frames[5] = frames[5], frames[4]
    assert verdict(burst(depth=1), SITE, frames).counts.reordered == 1
    assert verdict(burst(depth=4), SITE, frames).status is Status.PASSED


@pytest.mark.parametrize("size", [0, 1, 7])
def test_bursts_whose_size_cuts_the_sequence_number_are_counted(size: int) -> None:
    plan = burst(600, size)
    assert verdict(plan, SITE).status is Status.PASSED
    frames = frames_of(plan)
    assert verdict(plan, SITE, frames[1:]).counts.missing == 1
    assert verdict(plan, SITE, [*frames, frames[5]]).counts.duplicated == 1


def test_two_sockets_with_the_same_payload_are_told_apart_by_their_ports() -> None:
    plan = Plan()
    plan.socket(number=1)
    plan.socket(number=2)
    for number in (1, 2, 1, 2):
        plan.send(b"same", "192.0.2.1", number)
    assert verdict(plan, SITE).status is Status.PASSED
    made = packets(plan.predict(SITE), SITE)
    result = verdict(plan, SITE, raw([*made[:3], replace(made[0], identification=9)]))
    assert (result.counts.altered, result.counts.duplicated + result.counts.missing) in ((1, 0), (0, 2))
    assert result.status is Status.FAILED


def test_an_unknown_port_is_learned_once_and_holds_for_the_socket() -> None:
    plan = Plan()
    plan.socket(tell=False)
    plan.send(b"one", "192.0.2.1")
    plan.send(b"two", "192.0.2.1")
    made = packets(plan.predict(SITE), SITE)
    assert verdict(plan, SITE).status is Status.PASSED
    result = verdict(plan, SITE, raw([made[0], replace(made[1], source=at("192.0.2.10", 1))]))
    assert [item.field for item in result.findings] == ["udp.source_port"]


def test_with_both_addresses_fixed_either_destination_passes() -> None:
    plan = Plan()
    plan.socket()
    plan.add(op.SetRemoteAddress(1, at("192.0.2.1")))
    plan.add(op.SetSendToAddress(1, at("192.0.2.2")))
    plan.send(b"abc", None)
    (datagram,) = plan.predict(SITE)[-1].datagrams
    for form in (datagram, *datagram.alternatives):
        assert verdict(plan, SITE, list(encode(packet(form, SITE)))).status is Status.PASSED
    wrong = replace(datagram, destination=at("192.0.2.3"))
    assert verdict(plan, SITE, list(encode(packet(wrong, SITE)))).findings[0].field == "ip.destination"


@pytest.mark.parametrize(
    ("integrity", "reason"),
    [
        (Integrity(started=False), "start marker"),
        (Integrity(ended=False), "end marker"),
        (Integrity(dropped=3), "lost 3 frames"),
        (Integrity(dropped=None), "nobody could say"),
        (Integrity(problems=("dumpcap died",)), "dumpcap died"),
    ],
)
@pytest.mark.parametrize("frames", [None, []])
def test_a_doubtful_capture_neither_passes_nor_fails(
    integrity: Integrity, reason: str, frames: list[bytes] | None
) -> None:
    result = verdict(several(), SITE, frames, integrity)
    assert result.status is Status.INCONCLUSIVE
    assert reason in result.reason


def test_a_cut_frame_and_a_silent_tshark_are_doubts() -> None:
    plan = several(1)
    predictions = plan.predict(SITE)
    frames = captured(frames_of(plan))
    cut = [replace(frame, length=frame.length + 1) for frame in dissected(frames)]
    assert "snap length" in judge(predictions, plan.steps, cut, Integrity(), SITE).reason
    assert "tshark said nothing" in judge(predictions, plan.steps, frames, Integrity(), SITE).reason
    assert judge(predictions, plan.steps, frames, Integrity(), SITE, tshark=False).status is Status.PASSED


def test_what_the_driver_still_holds_fails_the_case() -> None:
    result = verdict(several(1), SITE, accounts=op.Accounts(irps=2, sends=5, completed=4))
    assert [(item.field, item.seen) for item in result.findings] == [
        ("accounts.irps", "2"),
        ("accounts.completed", "4 of 5 sends"),
    ]
    assert result.status is Status.FAILED


def test_sends_that_failed_must_not_be_on_the_wire() -> None:
    plan = Plan()
    plan.socket()
    plan.send(b"x", "192.0.2.255", status=0xC0000022)
    assert verdict(plan, SITE, []).status is Status.PASSED
    allowed = Plan()
    allowed.socket()
    allowed.option(opt.broadcast())
    allowed.send(b"x", "192.0.2.255")
    result = verdict(plan, SITE, frames_of(allowed))
    assert result.counts.unexpected == 1


def test_ttl_of_windows_is_observed_until_a_test_sets_it() -> None:
    where = site(WINDOWS)
    plan = several(1)
    made = [replace(item, ttl=64) for item in packets(plan.predict(where), where)]
    result = verdict(plan, where, raw(made))
    assert result.status is Status.PASSED
    assert ("ip.ttl", "128", "64") in {(item.field, item.expected, item.seen) for item in result.observed}
    set_ttl = Plan()
    set_ttl.socket()
    set_ttl.option(opt.ttl(AF_INET, 5))
    set_ttl.send(b"x", "192.0.2.1")
    made = [replace(item, ttl=64) for item in packets(set_ttl.predict(where), where)]
    assert verdict(set_ttl, where, raw(made)).findings[0].field == "ip.ttl"
