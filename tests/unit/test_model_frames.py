"""The codec: checksum vectors, frame arithmetic, group MACs, and every byte against scapy."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from harness.model.addresses import group_mac, link_local, mac_bytes, mac_text
from harness.model.checksum import folded_sum, internet_checksum, partial_checksum, udp_checksum, udp_sums_up
from harness.model.frames import MAX_PAYLOAD, ChecksumField, Packet, encode, layout
from harness.wsk.types import Endpoint, Family

GUEST, PEER = mac_bytes("52:54:00:d0:00:01"), mac_bytes("02:00:00:00:d0:01")
VECTORS = [
    ("192.168.77.2", "192.168.77.1", "", 0x1B6E, 0x0E82),
    ("192.168.77.2", "192.168.77.1", "41", 0x1B6F, 0xCD7F),
    ("192.168.77.2", "192.168.77.1", "4142", 0x1B70, 0xCD3B),
    ("192.168.77.2", "192.168.77.1", "0e7e", 0x1B70, 0xFFFF),
    ("fd00:77::2", "fd00:77::1", "", 0xFB0B, 0x2EE4),
    ("fd00:77::2", "fd00:77::1", "41", 0xFB0C, 0xEDE1),
    ("fd00:77::2", "fd00:77::1", "2ee0", 0xFB0D, 0xFFFF),
]


@pytest.mark.parametrize(("source", "destination", "payload", "partial", "whole"), VECTORS)
def test_checksum_vectors(source: str, destination: str, payload: str, partial: int, whole: int) -> None:
    data = bytes.fromhex(payload)
    one, two = ip_address(source).packed, ip_address(destination).packed
    segment = struct.pack(">HHHH", 50000, 4791, 8 + len(data), 0) + data
    assert partial_checksum(one, two, len(segment)) == partial
    assert udp_checksum(one, two, segment) == whole
    assert udp_sums_up(one, two, segment[:6] + whole.to_bytes(2, "big") + data)


@given(st.binary(max_size=200))
def test_the_sum_is_that_of_rfc_1071(data: bytes) -> None:
    total = sum(int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big") for at in range(0, len(data), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    assert folded_sum(data) == total
    assert internet_checksum(data) == total ^ 0xFFFF


@pytest.mark.parametrize(
    ("family", "payload", "frames", "last", "units"),
    [
        (Family.INET, 1472, 1, 1514, 0),
        (Family.INET, 1473, 2, 35, 185),
        (Family.INET, 3000, 3, 82, 370),
        (Family.INET, 8000, 6, 642, 925),
        (Family.INET, 65507, 45, 429, 8140),
        (Family.INET6, 1452, 1, 1514, 0),
        (Family.INET6, 1453, 2, 75, 181),
        (Family.INET6, 3000, 3, 174, 362),
        (Family.INET6, 8000, 6, 830, 905),
        (Family.INET6, 65507, 46, 417, 8145),
        (Family.INET6, 65527, 46, 437, 8145),
    ],
)
def test_frame_arithmetic_at_an_mtu_of_1500(family: Family, payload: int, frames: int, last: int, units: int) -> None:
    made = encode(packet(family, bytes(payload)))
    sizes = layout(family, payload, 1500)
    assert (len(made), len(made[-1])) == (frames, last)
    assert sum(sizes[:-1]) == units * 8
    assert all(len(frame) <= 1514 for frame in made)


def packet(family: Family, payload: bytes, **more: int) -> Packet:
    texts = ("192.0.2.10", "192.0.2.1") if family is Family.INET else ("2001:db8:0:1::10", "2001:db8:0:1::1")
    source, destination = (ip_address(text) for text in texts)
    checksum = ChecksumField.FULL
    return Packet(
        GUEST,
        PEER,
        Endpoint(source, more.pop("sport", 50000)),
        Endpoint(destination, more.pop("dport", 4791)),
        payload,
        checksum=checksum,
        **more,  # type: ignore[arg-type]
    )


ports = st.integers(0, 65535)
bytes8 = st.integers(0, 255)


@given(st.binary(max_size=1472), ports, ports, bytes8, bytes8, st.booleans(), ports)
def test_ipv4_frames_are_scapys(
    payload: bytes, sport: int, dport: int, ttl: int, tos: int, dont: bool, ident: int
) -> None:
    made = encode(
        packet(
            Family.INET, payload, sport=sport, dport=dport, ttl=ttl, tos=tos, dont_fragment=dont, identification=ident
        )
    )
    ip = IP(src="192.0.2.10", dst="192.0.2.1", ttl=ttl, tos=tos, id=ident, flags="DF" if dont else 0)
    theirs = Ether(dst=mac_text(PEER), src=mac_text(GUEST)) / ip / UDP(sport=sport, dport=dport) / Raw(payload)
    assert made == (bytes(theirs),)


@given(st.binary(max_size=1452), ports, ports, bytes8, bytes8, st.integers(0, 0xFFFFF))
def test_ipv6_frames_are_scapys(payload: bytes, sport: int, dport: int, hops: int, tos: int, label: int) -> None:
    made = encode(packet(Family.INET6, payload, sport=sport, dport=dport, ttl=hops, tos=tos, flow_label=label))
    ip = IPv6(src="2001:db8:0:1::10", dst="2001:db8:0:1::1", hlim=hops, tc=tos, fl=label)
    theirs = Ether(dst=mac_text(PEER), src=mac_text(GUEST)) / ip / UDP(sport=sport, dport=dport) / Raw(payload)
    assert made == (bytes(theirs),)


@pytest.mark.parametrize("size", [1473, 2952, 2953, 3000, 65507])
def test_ipv4_fragments_are_scapys(size: int) -> None:
    payload = bytes(n * 7 & 0xFF for n in range(size))
    made = encode(packet(Family.INET, payload, identification=77))
    ip = IP(src="192.0.2.10", dst="192.0.2.1", ttl=64, id=77) / UDP(sport=50000, dport=4791) / Raw(payload)
    theirs = [bytes(Ether(dst=mac_text(PEER), src=mac_text(GUEST)) / part) for part in fragment(ip, 1480)]  # type: ignore[no-untyped-call]
    assert list(made) == theirs


@pytest.mark.parametrize("size", [1453, 3000, 65507])
def test_ipv6_fragments_are_scapys(size: int) -> None:
    payload = bytes(n * 11 & 0xFF for n in range(size))
    made = encode(packet(Family.INET6, payload, identification=0xDEADBEEF))
    ip = IPv6(src="2001:db8:0:1::10", dst="2001:db8:0:1::1", hlim=64) / IPv6ExtHdrFragment(id=0xDEADBEEF)
    parts = fragment6(ip / UDP(sport=50000, dport=4791) / Raw(payload), 1500)  # type: ignore[no-untyped-call]
    theirs = [bytes(Ether(dst=mac_text(PEER), src=mac_text(GUEST)) / part) for part in parts]
    assert len(theirs) == len(made)
    assert list(made) == theirs


def test_short_frames_are_padded_with_zeros_when_asked() -> None:
    plain = encode(packet(Family.INET, b"x"))[0]
    padded = encode(packet(Family.INET, b"x", pad_to=60))[0]
    assert (len(plain), padded) == (43, plain + bytes(17))


def test_group_macs_follow_the_rfcs() -> None:
    assert mac_text(group_mac(IPv4Address("239.1.2.3"))) == "01:00:5e:01:02:03"
    assert mac_text(group_mac(IPv4Address("224.129.2.3"))) == "01:00:5e:01:02:03"
    assert mac_text(group_mac(IPv6Address("ff02::1234"))) == "33:33:00:00:12:34"


def test_link_local_address_from_a_mac() -> None:
    assert link_local(GUEST) == IPv6Address("fe80::5054:ff:fed0:1")


def test_greatest_payloads() -> None:
    assert MAX_PAYLOAD == {Family.INET: 65507, Family.INET6: 65527}
