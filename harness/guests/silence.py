"""What a guest says when nobody asked it to: frames named in words, so that silence can be demanded: pure."""

from __future__ import annotations

from collections.abc import Iterable

from harness.capture.frames import CapturedFrame
from harness.capture.origin import is_guest

_TYPES = {0x0806: "ARP", 0x0800: "IPv4", 0x86DD: "IPv6", 0x88CC: "LLDP", 0x88D9: "LLTD"}
_PORTS = {53: "DNS", 67: "DHCP", 68: "DHCP", 123: "NTP", 137: "NetBIOS name", 138: "NetBIOS datagram"} | {
    1900: "SSDP",
    3702: "WS-Discovery",
    5353: "mDNS",
    5355: "LLMNR",
}
_PROTOCOLS = {1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP", 58: "ICMPv6"}


def noise(frames: Iterable[CapturedFrame], mac: bytes) -> dict[str, int]:
    """How many frames of each kind the guest with that MAC sent, under whatever MAC; empty when it was silent."""
    counts: dict[str, int] = {}
    for frame in frames:
        if is_guest(frame.direction, frame.data, mac):
            kind = name(frame.data)
            counts[kind] = counts.get(kind, 0) + 1
    return counts


def name(frame: bytes) -> str:
    """A frame in a word or two: "ARP", "LLMNR", "ICMPv6", or its type in hex."""
    ethertype = int.from_bytes(frame[12:14], "big")
    if ethertype == 0x0800 and len(frame) >= 34:
        return _ip(frame[23], frame[14 + (frame[14] & 15) * 4 :])
    if ethertype == 0x86DD and len(frame) >= 56:
        hop_by_hop = frame[20] == 0  # multicast listener reports come with a router alert
        start = 54 + (8 * (1 + frame[55]) if hop_by_hop else 0)
        return _ip(frame[54] if hop_by_hop else frame[20], frame[start:])
    return _TYPES.get(ethertype, f"type {ethertype:#06x}")


def _ip(protocol: int, rest: bytes) -> str:
    if protocol == 17 and len(rest) >= 4:
        for port in (int.from_bytes(rest[2:4], "big"), int.from_bytes(rest[:2], "big")):
            if port in _PORTS:
                return _PORTS[port]
        return f"UDP to port {int.from_bytes(rest[2:4], 'big')}"
    return _PROTOCOLS.get(protocol, f"IP protocol {protocol}")
