"""Link-layer and network addresses: MACs as bytes and text, group MACs, IPv4-mapped addresses, casts and scopes."""

from __future__ import annotations

from enum import Enum
from ipaddress import IPv4Address, IPv6Address

from harness.wsk.types import Address, Endpoint

BROADCAST_MAC = b"\xff" * 6
LIMITED_BROADCAST = IPv4Address("255.255.255.255")


class Cast(Enum):
    """How a destination is reached."""

    UNICAST = "unicast"
    BROADCAST = "broadcast"
    MULTICAST = "multicast"


def mac_bytes(text: str) -> bytes:
    """Six bytes of a MAC written as "52:54:00:d0:00:01" (colons or dashes).

    Raises:
        ValueError: it is not a MAC.
    """
    raw = bytes.fromhex(text.replace(":", "").replace("-", ""))
    if len(raw) != 6:
        raise ValueError(f"{text!r} is not a MAC address")
    return raw


def mac_text(mac: bytes) -> str:
    """The MAC as people write it, lower case with colons."""
    return mac.hex(":")


def group_mac(address: Address) -> bytes:
    """MAC of a multicast group: RFC 1112 section 6.4 (low 23 bits), RFC 2464 section 7 (last four bytes)."""
    if isinstance(address, IPv4Address):
        return b"\x01\x00\x5e" + (int(address) & 0x7FFFFF).to_bytes(3, "big")
    return b"\x33\x33" + address.packed[12:]


def link_local(mac: bytes) -> IPv6Address:
    """The link-local address made from a MAC by EUI-64 (RFC 4291 appendix A)."""
    eui = bytes((mac[0] ^ 2, mac[1], mac[2], 0xFF, 0xFE, mac[3], mac[4], mac[5]))
    return IPv6Address(b"\xfe\x80" + bytes(6) + eui)


def unmapped(endpoint: Endpoint) -> Endpoint:
    """The endpoint that goes on the wire: an IPv4-mapped IPv6 address (::ffff:a.b.c.d) becomes the IPv4 one."""
    address = endpoint.address
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return Endpoint(address.ipv4_mapped, endpoint.port)
    return endpoint


def multicast_scope(address: IPv6Address) -> int:
    """Scope of an IPv6 destination as RFC 6724 section 3.1 counts: 2 link-local, 5 site-local, 14 global."""
    if address.is_multicast:
        return address.packed[1] & 0x0F
    if address.is_link_local or address.is_loopback:
        return 2
    return 14
