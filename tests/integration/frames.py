"""Frames that a guest could have sent, made by hand for the integration tests."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv6Address

from harness.lab.network import DUT_BRIDGE_MAC, DUT_NIC_MAC, SPARE_END

GUEST4, PEER4 = IPv4Address("192.0.2.10"), IPv4Address("192.0.2.1")
GUEST6, PEER6 = IPv6Address("2001:db8:0:1::10"), IPv6Address("2001:db8:0:1::1")
PORTS = struct.pack("!HH", 50000, 4791)


def ones_complement(data: bytes) -> int:
    """RFC 1071 sum of 16-bit words, folded, not complemented."""
    words = struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2))
    total: int = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def ethernet(ethertype: int, payload: bytes) -> bytes:
    macs = bytes.fromhex(DUT_BRIDGE_MAC.replace(":", "")) + bytes.fromhex(DUT_NIC_MAC.replace(":", ""))
    return macs + struct.pack("!H", ethertype) + payload


def udp4(payload: bytes, *, spoil: int = 0) -> bytes:
    """UDP header and payload with a right checksum; ``spoil`` is added to it."""
    pseudo = GUEST4.packed + PEER4.packed + struct.pack("!BBH", 0, 17, 8 + len(payload))
    header = PORTS + struct.pack("!HH", 8 + len(payload), 0)
    checksum = (~ones_complement(pseudo + header + payload) & 0xFFFF or 0xFFFF) + spoil & 0xFFFF
    return header[:6] + struct.pack("!H", checksum) + payload


def ipv4(payload: bytes, *, identification: int = 1, offset: int = 0, more: bool = False) -> bytes:
    fragment = (0x2000 if more else 0) | offset // 8
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), identification, fragment, 64, 17, 0)
    header += GUEST4.packed + PEER4.packed
    checksum = ~ones_complement(header) & 0xFFFF
    return ethernet(0x0800, header[:10] + struct.pack("!H", checksum) + header[12:] + payload)


def datagram(payload: bytes) -> bytes:
    """One unfragmented UDP datagram over IPv4."""
    return ipv4(udp4(payload))


def fragments(payload: bytes, identification: int = 7) -> list[bytes]:
    """One UDP datagram over IPv4 in fragments of 1480 bytes."""
    whole = udp4(payload)
    cuts = range(0, len(whole), 1480)
    return [
        ipv4(whole[at : at + 1480], identification=identification, offset=at, more=at + 1480 < len(whole))
        for at in cuts
    ]


def datagram6(payload: bytes) -> bytes:
    """One unfragmented UDP datagram over IPv6."""
    length = 8 + len(payload)
    pseudo = GUEST6.packed + PEER6.packed + struct.pack("!II", length, 17)
    header = PORTS + struct.pack("!HH", length, 0)
    checksum = ~ones_complement(pseudo + header + payload) & 0xFFFF or 0xFFFF
    fixed = struct.pack("!IHBB", 6 << 28, length, 17, 64) + GUEST6.packed + PEER6.packed
    return ethernet(0x86DD, fixed + header[:6] + struct.pack("!H", checksum) + payload)


def guest_socket() -> socket.socket:
    """A raw socket whose frames enter the DUT bridge as a guest's do, and which gets what a guest would."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
    raw.bind((SPARE_END, 0x0003))
    return raw
