"""Names for what a guest sends of its own accord; background by addresses and ports, never by the port alone."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from harness.verify.seen import Other, SeenDatagram

_ICMPV6 = {
    1: "icmpv6 unreachable",
    128: "icmpv6 echo",
    129: "icmpv6 echo",
    130: "mld",
    131: "mld",
    132: "mld",
    133: "nd",
    134: "nd",
    135: "nd",
    136: "nd",
    137: "nd",
    143: "mld",
}
_PLAIN = frozenset({"arp", "igmp"})

_GROUPS: dict[tuple[bytes, int], str] = {
    (IPv4Address("224.0.0.251").packed, 5353): "mdns",
    (IPv6Address("ff02::fb").packed, 5353): "mdns",
    (IPv4Address("224.0.0.252").packed, 5355): "llmnr",
    (IPv6Address("ff02::1:3").packed, 5355): "llmnr",
    (IPv4Address("239.255.255.250").packed, 1900): "ssdp",
    (IPv6Address("ff02::c").packed, 1900): "ssdp",
    (IPv4Address("239.255.255.250").packed, 3702): "ws-discovery",
    (IPv6Address("ff02::c").packed, 3702): "ws-discovery",
    (IPv6Address("ff02::1:2").packed, 547): "dhcpv6",
}
_SAME_PORTS = {(68, 67): "dhcp", (137, 137): "nbns", (138, 138): "nbdgm"}


def name_other(other: Other) -> str | None:
    """Protocol of a frame that carries no UDP; ``None`` when nobody expects such a frame from a guest."""
    if other.problems:
        return None
    if other.protocol == "icmpv6":
        kind = _icmpv6_type(other.data)
        return _ICMPV6.get(kind) if kind is not None else None
    return other.protocol if other.protocol in _PLAIN else None


def _icmpv6_type(data: bytes) -> int | None:
    at, following = 54, data[20]
    while following in (0, 43, 60) and at + 8 <= len(data):
        following, at = data[at], at + 8 + data[at + 1] * 8
    return data[at] if following == 58 and at < len(data) else None


def name_datagram(seen: SeenDatagram) -> str | None:
    """Protocol of a UDP datagram that a guest sends by itself; ``None`` when it is nothing of the kind."""
    group = _GROUPS.get((seen.destination, seen.destination_port))
    if group is not None:
        return group
    name = _SAME_PORTS.get((seen.source_port, seen.destination_port))
    to_all = seen.destination_mac == b"\xff" * 6
    return name if name is not None and (to_all or name == "dhcp") else None
