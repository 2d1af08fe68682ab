"""What the forms of background packets share: where a frame may end, checksums, and which addresses may be named."""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from harness.model.addresses import link_local
from harness.model.checksum import folded_sum
from harness.model.site import Site
from harness.wsk.types import Address

NO_MAC = bytes(6)  # the destination in a Linux cooked capture, which does not keep it
_MINIMUM = 60
_PSEUDO6 = struct.Struct(">16s16sII")


@dataclass(frozen=True, slots=True)
class Scene:
    """Whose packets are looked at.

    Args:
        site: the lab.
        asked: addresses that the test's operations have named so far: the guest may look for them.
    """

    site: Site
    asked: Collection[Address] = ()

    def owns(self, packed: bytes) -> bool:
        """Whether an address is one of the guest's."""
        return self.site.owns(address(packed))

    def may_seek(self, packed: bytes) -> bool:
        """Whether the guest has a reason to look for the owner of an address: a host peer, or a test named it."""
        sought = address(packed)
        return not sought.is_multicast and (sought in self.site.neighbours or sought in self.asked)

    def is_at(self, packed: bytes, mac: bytes) -> bool:
        """Whether a host's address is reached by that MAC."""
        owner = address(packed)
        if owner in self.site.neighbours:
            return mac in (self.site.neighbours[owner], NO_MAC)
        return mac in self.site.peer_macs and owner == link_local(mac)


@dataclass(frozen=True, slots=True)
class Known:
    """A packet that has the form of a protocol.

    Args:
        name: the protocol.
        about: what it is about; packets that have this in common share an allowance.
    """

    name: str
    about: bytes = b""


def address(packed: bytes) -> Address:
    """An address from its bytes."""
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def ends_at(frame: bytes, end: int, site: Site) -> bool:
    """Whether a frame ends with its packet, or is padded to the Ethernet minimum with zeros where its sender pads.

    A NIC that is known not to pad has no reason for a single byte more.
    """
    if len(frame) == end:
        return True
    may_pad = site.pads or "eth.trailer" not in site.profile.asserted
    return may_pad and end < len(frame) <= _MINIMUM and not any(frame[end:])


def sums_up6(source: bytes, destination: bytes, following: int, body: bytes) -> bool:
    """Whether the checksum of an upper-layer packet over IPv6 is right (RFC 8200, section 8.1)."""
    pseudo = _PSEUDO6.pack(source, destination, len(body), following)
    return folded_sum(pseudo + body + bytes(len(body) % 2)) == 0xFFFF
