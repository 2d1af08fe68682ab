"""The addresses and link of one lab as the model needs them: guest, neighbours, MTU, habits of NIC and stack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address
from typing import Any

from harness.errors import UsageError
from harness.model import profile as profiles
from harness.model.addresses import LIMITED_BROADCAST, link_local, mac_bytes, mac_text, multicast_scope
from harness.model.profile import StackProfile
from harness.wsk.types import Address

_LEAST_MTU = 68  # bytes; RFC 791, section 3.2: what every link of IPv4 carries whole


@dataclass(frozen=True, slots=True)
class Site:
    """One lab, seen from its guest.

    Args:
        guest_mac: MAC of the NIC under test.
        interfaces4, interfaces6: its addresses with their prefixes, the primary one first.
        neighbours: MAC of every address on the link that answers (the host peers).
        host_macs: further MACs that are the host's (bridge, marker sender); the neighbours' are known already.
        mtu: largest IP packet of the link.
        profile: the guest's stack.
        pads: the NIC (or its driver) pads frames to 60 bytes with zeros.
        partial_checksum: the NIC leaves the UDP checksum of unfragmented datagrams to the hardware.
        zero_checksum_stays: the NIC computes IPv4's UDP checksums and sends a computed 0 as 0 (RFC 768 wants 0xffff).
        interface_index: the guest's number of the NIC under test, where known.
    """

    guest_mac: bytes
    interfaces4: tuple[IPv4Interface, ...]
    interfaces6: tuple[IPv6Interface, ...]
    neighbours: Mapping[Address, bytes]
    profile: StackProfile
    host_macs: frozenset[bytes] = field(default_factory=frozenset)
    mtu: int = 1500
    pads: bool = False
    partial_checksum: bool = False
    zero_checksum_stays: bool = False
    interface_index: int | None = None

    @classmethod
    def of(
        cls,
        guest_mac: str,
        addresses: Iterable[str],
        neighbours: Mapping[str, str],
        profile: StackProfile,
        *,
        host_macs: Iterable[str] = (),
        mtu: int = 1500,
        pads: bool = False,
        partial_checksum: bool = False,
        zero_checksum_stays: bool = False,
        interface_index: int | None = None,
    ) -> Site:
        """A site from text: addresses like "192.0.2.10/24", neighbours like {"192.0.2.1": "02:00:00:00:d0:01"}."""
        texts = tuple(addresses)
        return cls(
            guest_mac=mac_bytes(guest_mac),
            interfaces4=tuple(IPv4Interface(text) for text in texts if ":" not in text),
            interfaces6=tuple(IPv6Interface(text) for text in texts if ":" in text),
            neighbours={ip_address(address): mac_bytes(mac) for address, mac in neighbours.items()},
            profile=profile,
            host_macs=frozenset(mac_bytes(mac) for mac in host_macs),
            mtu=mtu,
            pads=pads,
            partial_checksum=partial_checksum,
            zero_checksum_stays=zero_checksum_stays,
            interface_index=interface_index,
        )

    def to_json(self) -> dict[str, Any]:
        """The site as the plan's header carries it."""
        return {
            "guest_mac": mac_text(self.guest_mac),
            "addresses": [str(item) for item in (*self.interfaces4, *self.interfaces6)],
            "neighbours": {str(address): mac_text(mac) for address, mac in self.neighbours.items()},
            "profile": self.profile.name,
            "host_macs": sorted(mac_text(mac) for mac in self.host_macs),
            "mtu": self.mtu,
            "pads": self.pads,
            "partial_checksum": self.partial_checksum,
            "zero_checksum_stays": self.zero_checksum_stays,
            "interface_index": self.interface_index,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Site:
        """Read ``to_json()`` back.

        Raises:
            UsageError: something is missing or of the wrong kind.
        """
        try:
            rest = {key: value[key] for key in ("host_macs", "mtu", "pads", "partial_checksum", "interface_index")}
            rest["zero_checksum_stays"] = bool(value.get("zero_checksum_stays", False))  # older plans do not say
            if not _is_whole_number(rest["mtu"]) or not _LEAST_MTU <= rest["mtu"] < 1 << 32:
                raise ValueError(f"the MTU must be a whole number of bytes from {_LEAST_MTU} on, not {rest['mtu']!r}")
            if rest["interface_index"] is not None and not _is_whole_number(rest["interface_index"]):
                raise ValueError(f"the interface's index must be a whole number, not {rest['interface_index']!r}")
            profile = profiles.get(value["profile"])
            return cls.of(value["guest_mac"], value["addresses"], value["neighbours"], profile, **rest)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"the plan's site cannot be read: {error}") from None

    @property
    def peer_macs(self) -> frozenset[bytes]:
        """All MACs that belong to the host; what they send is not the driver's."""
        return self.host_macs | frozenset(self.neighbours.values())

    def owns(self, address: Address) -> bool:
        """Whether the address is one of the guest's on the NIC under test."""
        own: list[Address] = [item.ip for item in self.interfaces4]
        own += [item.ip for item in self.interfaces6]
        return address in own or address == link_local(self.guest_mac)

    def on_link(self, address: Address) -> bool:
        """Whether the guest reaches the address over the NIC under test without a router."""
        if isinstance(address, IPv4Address):
            return any(address in item.network for item in self.interfaces4)
        return address.is_link_local or any(address in item.network for item in self.interfaces6)

    def is_broadcast(self, address: Address) -> bool:
        """Limited broadcast, or the broadcast address of one of the guest's subnets."""
        if not isinstance(address, IPv4Address):
            return False
        return address == LIMITED_BROADCAST or any(
            address == item.network.broadcast_address for item in self.interfaces4 if item.network.prefixlen < 31
        )

    def sources(self, destination: Address) -> tuple[Address, ...]:
        """Source addresses that a wildcard-bound socket may show, the likeliest first.

        IPv4: the primary address. IPv6: the primary one, unless the destination's scope prefers a link-local one
        (RFC 6724 rule 2); the address made from the MAC counts even when the site does not list it.
        """
        if isinstance(destination, IPv4Address):
            return (self.interfaces4[0].ip,) if self.interfaces4 else ()
        wide = [item.ip for item in self.interfaces6 if not item.ip.is_link_local]
        if multicast_scope(destination) > 2:
            return tuple(wide[:1])
        narrow: list[IPv6Address] = [IPv6Address(item.ip) for item in self.interfaces6 if item.ip.is_link_local]
        derived = link_local(self.guest_mac)
        return tuple(narrow + ([] if derived in narrow else [derived]) + wide[:1])


def _is_whole_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
