"""Dual stack: one AF_INET6 socket for both families, IPv4 by mapped addresses, once IPV6_V6ONLY is off.

Rules: WinSock "Dual-Stack Sockets"; model/RULES.md 2.4. A mapped destination leaves as plain IPv4.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address

import pytest

from harness.api import DatagramSocket, Wire, Wsk, pattern
from harness.wsk import options as opt
from harness.wsk.types import AF_INET, AF_INET6, Address, Endpoint


def mapped(endpoint: Endpoint) -> Endpoint:
    assert isinstance(endpoint.address, IPv4Address)
    return Endpoint(IPv6Address(f"::ffff:{endpoint.address}"), endpoint.port)


@contextmanager
def dual(wsk: Wsk, address: Address | None = None, port: int = 0) -> Iterator[DatagramSocket]:
    """An AF_INET6 socket with IPV6_V6ONLY off, bound."""
    with wsk.datagram_socket(AF_INET6, bind=False) as sock:
        sock.set_option(opt.v6only(False))
        sock.bind(address, port)
        yield sock


def test_v6only_is_on_by_default(wsk: Wsk, wire: Wire) -> None:
    """Without the option a mapped destination is an error; IPv6 works."""
    with wsk.datagram_socket(AF_INET6) as sock:
        wire.expect_nothing(sock.send_to(b"refused", mapped(wire.peer(9000))))
        wire.expect(sock.send_to(b"ipv6", wire.peer(9000, family=AF_INET6)))


@pytest.mark.parametrize("size", [0, 1, 1472, 1473, 4000])
def test_mapped_destination_leaves_as_ipv4(wsk: Wsk, wire: Wire, size: int) -> None:
    """EtherType, header, checksum and fragment sizes are those of IPv4."""
    with dual(wsk) as sock:
        wire.expect(sock.send_to(pattern(size), mapped(wire.peer(9000))))


def test_both_families_from_one_socket(wsk: Wsk, wire: Wire) -> None:
    """One port, two families, in turn."""
    with dual(wsk, port=5040) as sock:
        for index in range(4):
            wire.expect(sock.send_to(b"four %d" % index, mapped(wire.peer(9000))))
            wire.expect(sock.send_to(b"six %d" % index, wire.peer(9000, family=AF_INET6)))


def test_mapped_too_large_for_ipv4(wsk: Wsk, wire: Wire) -> None:
    """65,508 bytes fit IPv6 and not IPv4: the wire's family decides."""
    with dual(wsk) as sock:
        wire.expect_nothing(sock.send_to(pattern(65508), mapped(wire.peer(9000))))
        wire.expect(sock.send_to(pattern(65508), wire.peer(9000, family=AF_INET6)))


def test_bound_to_a_mapped_address(wsk: Wsk, wire: Wire) -> None:
    """Bound to a mapped address of the guest, that IPv4 address is the source."""
    with dual(wsk, IPv6Address(f"::ffff:{wire.guest_address(1, AF_INET)}")) as sock:
        wire.expect(sock.send_to(b"mapped source", mapped(wire.peer(9000))))


@pytest.mark.parametrize("fix", [DatagramSocket.set_remote_address, DatagramSocket.set_sendto_address])
def test_fixed_mapped_address(wsk: Wsk, wire: Wire, fix) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    """The fixed addresses take mapped ones on a dual-stack socket."""
    with dual(wsk) as sock:
        fix(sock, mapped(wire.peer(9000)))
        wire.expect(sock.send_to(b"fixed", None))


def test_each_family_obeys_its_own_options(wsk: Wsk, wire: Wire) -> None:
    """IP_TTL acts on mapped destinations, IPV6_UNICAST_HOPS on the others."""
    with dual(wsk) as sock:
        sock.set_option(opt.ttl(AF_INET, 44))
        sock.set_option(opt.ttl(AF_INET6, 66))
        wire.expect(sock.send_to(b"44", mapped(wire.peer(9000))), sock.send_to(b"66", wire.peer(9000, family=AF_INET6)))


def test_packet_information_of_the_wires_family(wsk: Wsk, wire: Wire) -> None:
    """in_pktinfo for a mapped destination, in6_pktinfo for an IPv6 one."""
    with dual(wsk) as sock:
        four = [opt.pktinfo(wire.guest_address(1, AF_INET))]
        six = [opt.pktinfo(wire.guest_address(1, AF_INET6))]
        wire.expect(sock.send_to(b"four", mapped(wire.peer(9000)), control=four))
        wire.expect(sock.send_to(b"six", wire.peer(9000, family=AF_INET6), control=six))


def test_mapped_broadcast(wsk: Wsk, wire: Wire) -> None:
    """SO_BROADCAST is asked for mapped broadcast addresses as well."""
    target = Endpoint(IPv6Address("::ffff:192.0.2.255"), 9000)
    with dual(wsk) as sock:
        wire.expect_nothing(sock.send_to(b"refused", target))
        sock.set_option(opt.broadcast())
        wire.expect(sock.send_to(b"to all", target))


def test_plain_ipv4_address_on_an_ipv6_socket(wsk: Wsk, wire: Wire) -> None:
    """A SOCKADDR_IN is of the wrong family, dual stack or not."""
    with dual(wsk) as sock:
        wire.expect_nothing(sock.send_to(b"wrong family", wire.peer(9000)))
        wire.expect(sock.send_to(b"mapped", mapped(wire.peer(9000))))
