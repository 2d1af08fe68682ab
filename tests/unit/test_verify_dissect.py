"""Our own reading of raw frames: what the codec wrote is read back, fragments come together, and lies are named."""

from __future__ import annotations

import random
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from harness.model.addresses import mac_bytes
from harness.model.frames import ChecksumField, Packet, encode
from harness.verify.parse import Dissected, dissect
from harness.verify.reassemble import REPEATED
from harness.verify.seen import ChecksumState, SeenDatagram
from tests.unit.verify_kit import GUEST_MAC, HOST_MAC, at, captured

V4 = Packet(mac_bytes(GUEST_MAC), mac_bytes(HOST_MAC), at("192.0.2.10", 50001), at("192.0.2.1"), b"", identification=9)
V6 = replace(V4, source=at("2001:db8:0:1::10", 50001), destination=at("2001:db8:0:1::1"))
BOTH = pytest.mark.parametrize("base", [V4, V6], ids=["ipv4", "ipv6"])


def read(frames: list[bytes]) -> Dissected:
    return dissect(captured(frames))


def one(frames: list[bytes]) -> SeenDatagram:
    (seen,) = read(frames).datagrams
    return seen


@BOTH
@given(st.binary(max_size=4000), st.integers(0, 255), st.integers(0, 255), st.booleans(), st.integers(576, 1500))
def test_what_the_codec_writes_is_read_back(
    base: Packet, payload: bytes, ttl: int, tos: int, pads: bool, mtu: int
) -> None:
    mtu = max(mtu, 1280) if base is V6 else mtu
    packet = replace(base, payload=payload, ttl=ttl, tos=tos, mtu=mtu, pad_to=60 if pads else 0, dont_fragment=True)
    seen = one(list(encode(packet)))
    assert (seen.payload, seen.ttl, seen.tos, seen.problems, seen.complete) == (payload, ttl, tos, (), True)
    assert (seen.source_port, seen.destination_port) == (50001, 9000)
    assert (seen.source_mac, seen.destination_mac) == (packet.source_mac, packet.destination_mac)
    assert (seen.source, seen.destination) == (packet.source.address.packed, packet.destination.address.packed)
    assert seen.checksum_state is ChecksumState.GOOD
    assert not any(seen.trailer)


@BOTH
@given(st.integers(1500, 9000), st.randoms(use_true_random=False))
def test_fragments_in_any_order_become_the_datagram(base: Packet, size: int, chance: random.Random) -> None:
    payload = chance.randbytes(size)
    frames = list(encode(replace(base, payload=payload)))
    chance.shuffle(frames)
    seen = one(frames)
    assert (seen.payload, seen.problems, len(seen.layout)) == (payload, (), len(frames))
    assert seen.layout == tuple(sorted(seen.layout, reverse=True))


def test_scapys_frames_are_read() -> None:
    frame = bytes(
        Ether(src=GUEST_MAC, dst=HOST_MAC) / IP(src="192.0.2.10", dst="192.0.2.1") / UDP(sport=1, dport=2) / b"hi"
    )
    assert (one([frame]).payload, one([frame]).checksum_state) == (b"hi", ChecksumState.GOOD)


@BOTH
def test_each_checksum_state_is_told_from_the_others(base: Packet) -> None:
    states = {}
    for field in ChecksumField:
        states[field] = one(list(encode(replace(base, payload=b"abc", checksum=field)))).checksum_state
    assert states == {
        ChecksumField.FULL: ChecksumState.GOOD,
        ChecksumField.PARTIAL: ChecksumState.PARTIAL,
        ChecksumField.ZERO: ChecksumState.ZERO,
    }
    frame = bytearray(encode(replace(base, payload=b"abc"))[0])
    frame[-1] ^= 1
    assert one([bytes(frame)]).checksum_state is ChecksumState.BAD


def fragments(base: Packet = V4, size: int = 4000) -> list[bytes]:
    return list(encode(replace(base, payload=bytes(n * 3 & 0xFF for n in range(size)))))


def fields(seen: SeenDatagram) -> set[str]:
    return {item.field for item in seen.problems}


@BOTH
@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_lost_fragment_is_a_gap(base: Packet, lost: int) -> None:
    frames = fragments(base)
    del frames[lost]
    seen = one(frames)
    assert not seen.complete
    assert fields(seen) == {"ip.fragments"}


@BOTH
@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_repeated_fragment_is_named_and_the_datagram_is_whole(base: Packet, index: int) -> None:
    frames = fragments(base)
    frames.insert(index + 1, frames[index])
    seen = one(frames)
    assert seen.complete
    assert [item.field for item in seen.problems] == [REPEATED]


@BOTH
def test_overlapping_fragments_with_other_bytes_are_named(base: Packet) -> None:
    frames = fragments(base)
    frames.insert(1, frames[0][:-1] + bytes([frames[0][-1] ^ 0xFF]))
    assert "ip.fragment_overlap" in fields(one(frames))


def ipv4_fragment(offset: int, more: bool, body: bytes, flags: int = 0) -> bytes:
    """A fragment of the test's own making."""
    packet = IP(src="192.0.2.10", dst="192.0.2.1", proto=17, id=9, frag=offset // 8, flags=flags | more)
    return bytes(Ether(src=GUEST_MAC, dst=HOST_MAC) / packet / body)


def test_a_middle_fragment_of_odd_size_is_named() -> None:
    head = struct.pack(">HHHH", 1, 2, 8 + 21, 0)
    frames = [ipv4_fragment(0, True, head + b"12345"), ipv4_fragment(16, False, b"x" * 13)]
    assert "ip.fragment_size" in {name for item in read(frames).datagrams for name in fields(item)}


def test_df_on_a_fragment_is_named() -> None:
    head = struct.pack(">HHHH", 1, 2, 8 + 16, 0)
    frames = [ipv4_fragment(0, True, head + b"12345678", flags=2), ipv4_fragment(16, False, b"87654321")]
    assert "ip.dont_fragment" in fields(one(frames))


def test_a_wrong_udp_length_and_a_wrong_ip_length_are_named() -> None:
    frame = bytearray(encode(replace(V4, payload=b"hello"))[0])
    frame[39] += 1
    assert "udp.length" in fields(one([bytes(frame)]))
    frame = bytearray(encode(replace(V4, payload=b"hello"))[0])
    frame[17] += 1
    assert {"ip.length", "ip.header_checksum"} <= fields(one([bytes(frame)]))


def test_a_frame_cut_by_the_snap_length_is_reported() -> None:
    frame = captured([encode(replace(V4, payload=bytes(100)))[0]])[0]
    assert dissect([replace(frame, data=frame.data[:96])]).cut == [1]
    assert dissect([frame]).cut == []


@given(st.binary(max_size=120), st.sampled_from([b"\x08\x00", b"\x86\xdd", b"\x08\x06", b"\x12\x34"]))
def test_any_bytes_are_read_without_an_error(data: bytes, ethertype: bytes) -> None:
    frame = bytes(12) + ethertype + data
    found = read([frame, frame, data])
    assert len(found.datagrams) + len(found.others) <= 3


@given(st.data())
def test_damaged_fragments_are_read_without_an_error(data: st.DataObject) -> None:
    frames = fragments(data.draw(st.sampled_from([V4, V6])))
    index = data.draw(st.integers(0, len(frames) - 1))
    broken = bytearray(frames[index])
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(12, 70))] = data.draw(st.integers(0, 255))
    frames[index] = bytes(broken[: data.draw(st.integers(14, len(broken)))])
    read(frames)
