"""The ``netsh`` command lines that give the NIC under test its addresses; pure text, the same for every guest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

Address = IPv4Address | IPv6Address
_SECONDARY = ("false", *["true"] * 255)  # only the first address of a family is chosen as a source


def configuration(
    interface: str,
    interfaces4: Sequence[IPv4Interface],
    interfaces6: Sequence[IPv6Interface],
    neighbours: Mapping[Address, bytes],
    mtu: int,
) -> list[str]:
    """Commands in the order in which they must run.

    The metric of 1 makes the NIC the one that broadcasts and multicasts leave by. Nothing is stored: a reboot ends it.
    DAD is off before the first address comes, since a tentative address cannot be bound. Of each family the
    first address is the source of a socket bound to none.
    """
    commands = [
        f'netsh interface ipv4 set interface "{interface}" mtu={mtu} metric=1 dadtransmits=0 store=active',
        f'netsh interface ipv6 set interface "{interface}" mtu={mtu} metric=1 dadtransmits=0 '
        "routerdiscovery=disabled store=active",
    ]
    commands += [
        f'netsh interface ipv4 add address "{interface}" {own.ip} {own.netmask} store=active skipassource={secondary}'
        for secondary, own in zip(_SECONDARY, interfaces4, strict=False)
    ]
    commands += [
        f'netsh interface ipv6 add address "{interface}" {own} store=active skipassource={secondary}'
        for secondary, own in zip(_SECONDARY, interfaces6, strict=False)
    ]
    commands += [
        f'netsh interface ipv{address.version} add neighbors "{interface}" {address} {mac.hex("-")} store=active'
        for address, mac in neighbours.items()
    ]
    return commands


def removal(
    interface: str,
    interfaces4: Sequence[IPv4Interface],
    interfaces6: Sequence[IPv6Interface],
    neighbours: Mapping[Address, bytes],
) -> list[str]:
    """Commands that take away what ``configuration`` adds; each fails when its object is not there."""
    commands = [
        f'netsh interface ipv{address.version} delete neighbors "{interface}" {address}' for address in neighbours
    ]
    own: tuple[IPv4Interface | IPv6Interface, ...] = (*interfaces4, *interfaces6)
    return commands + [f'netsh interface ipv{one.version} delete address "{interface}" {one.ip}' for one in own]


def show_link(interface: str) -> str:
    """The command that tells whether an interface has a link; ``is_connected`` reads its output."""
    return f'netsh interface show interface "{interface}"'


def is_connected(shown: str) -> bool:
    """Whether ``netsh interface show interface NAME`` says that the link is up (English Windows)."""
    return re.search(r"^\s*Connect state:\s*Connected\s*$", shown, re.MULTILINE) is not None
