"""The codec: exact Ethernet, IPv4, IPv6 and UDP bytes of one datagram, fragmented at the MTU.

Sources: RFC 894, 2464 (Ethernet), 791 (IPv4 and its fragments), 8200 (IPv6 and its fragments), 768 (UDP).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum

from harness.model.checksum import internet_checksum, partial_checksum, udp_checksum
from harness.wsk.types import Endpoint, Family

ETHERNET_HEADER = 14
ETHERNET_MINIMUM = 60
IPV4_HEADER = 20
IPV6_HEADER = 40
FRAGMENT_HEADER = 8
UDP_HEADER = 8
PROTOCOL_UDP = 17
NEXT_FRAGMENT = 44
MAX_PAYLOAD = {Family.INET: 65535 - IPV4_HEADER - UDP_HEADER, Family.INET6: 65535 - UDP_HEADER}


class ChecksumField(Enum):
    """What the UDP checksum field is given."""

    FULL = "full"
    PARTIAL = "partial"
    ZERO = "zero"


@dataclass(frozen=True, slots=True)
class Packet:
    """One UDP datagram with everything that its frames say.

    Args:
        mtu: largest IP packet of the link, bytes.
        pad_to: shortest frame; shorter ones end in zeros (60 for NICs whose driver pads, 0 for none).
        identification: IPv4 identification (16 bits) or the Fragment header's (32 bits).
    """

    source_mac: bytes
    destination_mac: bytes
    source: Endpoint
    destination: Endpoint
    payload: bytes
    ttl: int = 64
    tos: int = 0
    dont_fragment: bool = False
    identification: int = 0
    flow_label: int = 0
    checksum: ChecksumField = ChecksumField.FULL
    mtu: int = 1500
    pad_to: int = 0


def layout(family: Family, payload_length: int, mtu: int) -> tuple[int, ...]:
    """Bytes of UDP header and payload in each frame: one number when it fits the MTU, else all full but the last."""
    total = UDP_HEADER + payload_length
    header = IPV4_HEADER if family is Family.INET else IPV6_HEADER
    if total <= mtu - header:
        return (total,)
    room = mtu - header - (0 if family is Family.INET else FRAGMENT_HEADER)
    room -= room % 8
    if room <= 0:
        raise ValueError(f"an MTU of {mtu} leaves no room for a fragment")
    full, last = divmod(total, room)
    return (room,) * full + ((last,) if last else ())


def udp_segment(packet: Packet) -> bytes:
    """UDP header and payload, the checksum field set as the packet asks."""
    length = UDP_HEADER + len(packet.payload)
    ports = struct.pack(">HHH", packet.source.port, packet.destination.port, length)
    source, destination = packet.source.address.packed, packet.destination.address.packed
    if packet.checksum is ChecksumField.FULL:
        field = udp_checksum(source, destination, ports + b"\x00\x00" + packet.payload)
    elif packet.checksum is ChecksumField.PARTIAL:
        field = partial_checksum(source, destination, length)
    else:
        field = 0
    return ports + field.to_bytes(2, "big") + packet.payload


def encode(packet: Packet) -> tuple[bytes, ...]:
    """The frames of a packet in ascending order of their offsets, without FCS."""
    segment = udp_segment(packet)
    sizes = layout(packet.source.family, len(packet.payload), packet.mtu)
    make = _ipv4 if packet.source.family is Family.INET else _ipv6
    frames, offset = [], 0
    for size in sizes:
        frame = make(packet, segment[offset : offset + size], offset, offset + size < len(segment))
        frames.append(frame.ljust(packet.pad_to, b"\x00"))
        offset += size
    return tuple(frames)


def ipv4_header(packet: Packet, length: int, offset: int = 0, more: bool = False) -> bytes:
    """An IPv4 header of 20 bytes, checksum included, for ``length`` bytes of data at ``offset``."""
    fragmented = offset > 0 or more
    flags = (0x4000 if packet.dont_fragment and not fragmented else 0) | (0x2000 if more else 0) | (offset >> 3)
    head = struct.pack(
        ">BBHHHBBH4s4s",
        0x45,
        packet.tos,
        IPV4_HEADER + length,
        packet.identification & 0xFFFF,
        flags,
        packet.ttl,
        PROTOCOL_UDP,
        0,
        packet.source.address.packed,
        packet.destination.address.packed,
    )
    return head[:10] + internet_checksum(head).to_bytes(2, "big") + head[12:]


def _ipv4(packet: Packet, data: bytes, offset: int, more: bool) -> bytes:
    return (
        packet.destination_mac + packet.source_mac + b"\x08\x00" + ipv4_header(packet, len(data), offset, more) + data
    )


def _ipv6(packet: Packet, data: bytes, offset: int, more: bool) -> bytes:
    following = PROTOCOL_UDP
    if offset or more:
        following = NEXT_FRAGMENT
        data = struct.pack(">BBHI", PROTOCOL_UDP, 0, offset | more, packet.identification & 0xFFFFFFFF) + data
    first = 6 << 28 | packet.tos << 20 | packet.flow_label
    head = struct.pack(">IHBB", first, len(data), following, packet.ttl)
    addresses = packet.source.address.packed + packet.destination.address.packed
    return packet.destination_mac + packet.source_mac + b"\x86\xdd" + head + addresses + data
