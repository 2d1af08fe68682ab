"""Broadcast and multicast: who receives it, what must be switched on first, and the Ethernet address it gets.

Rules: RFC 919/922 (broadcast), RFC 1112 section 6.4 and RFC 2464 section 7 (group MACs), WDK page SO_BROADCAST.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from harness.api import Wire, Wsk
from harness.wsk.options import broadcast
from harness.wsk.types import AF_INET6, Endpoint

limited_and_subnet = pytest.mark.parametrize("address", ["255.255.255.255", "192.0.2.255"], ids=["limited", "subnet"])


@limited_and_subnet
def test_broadcast_with_so_broadcast(wsk: Wsk, wire: Wire, address: str) -> None:
    """With SO_BROADCAST both kinds of broadcast leave as ff:ff:ff:ff:ff:ff."""
    with wsk.datagram_socket(address=wire.guest_address()) as sock:
        sock.set_option(broadcast())
        wire.expect(sock.send_to(b"to all", Endpoint(IPv4Address(address), 9000)))


@limited_and_subnet
def test_broadcast_without_so_broadcast(wsk: Wsk, wire: Wire, address: str) -> None:
    """Without it: an error, no frame; unicast is not touched."""
    with wsk.datagram_socket(address=wire.guest_address()) as sock:
        wire.expect_nothing(sock.send_to(b"refused", Endpoint(IPv4Address(address), 9000)))
        wire.expect(sock.send_to(b"unicast", wire.peer(9000)))


def test_so_broadcast_can_be_switched_off_again(wsk: Wsk, wire: Wire) -> None:
    """The option acts from one send to the next."""
    target = Endpoint(IPv4Address("192.0.2.255"), 9000)
    with wsk.datagram_socket(address=wire.guest_address()) as sock:
        sock.set_option(broadcast())
        wire.expect(sock.send_to(b"on", target))
        sock.set_option(broadcast(False))
        wire.expect_nothing(sock.send_to(b"off", target))


@pytest.mark.parametrize("group", ["239.1.2.3", "224.129.2.3", "239.255.255.250"])
def test_ipv4_multicast(wsk: Wsk, wire: Wire, group: str) -> None:
    """The low 23 bits of the group make the MAC: 224.129.2.3 shares one with 239.1.2.3."""
    with wsk.datagram_socket(address=wire.guest_address()) as sock:
        wire.expect(sock.send_to(b"group", Endpoint(IPv4Address(group), 9000)))


@pytest.mark.parametrize("group", ["ff05::1234", "ff0e::1:2345:6789"])
def test_ipv6_multicast(wsk: Wsk, wire: Wire, group: str) -> None:
    """The low 32 bits of the group behind 33:33 make the MAC."""
    with wsk.datagram_socket(AF_INET6, address=wire.guest_address(0, AF_INET6)) as sock:
        wire.expect(sock.send_to(b"group", Endpoint(IPv6Address(group), 9000)))


def test_fragmented_multicast(wsk: Wsk, wire: Wire) -> None:
    """A large datagram to a group is fragmented like any other."""
    with wsk.datagram_socket(address=wire.guest_address()) as sock:
        wire.expect(sock.send_to(b"m" * 4000, Endpoint(IPv4Address("239.1.2.3"), 9000)))
