"""Control information of one send: source address, TOS and traffic class, ECN, segmentation; never of the next send.

Rules: WinSock WSASendMsg, IP_PKTINFO, ECN and UDP socket options; model/RULES.md 2.5. Whether a transport supports a
message is its business ("might not be supported by all transports"): what it then does must still be as the page says.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from harness.api import Wire, Wsk, pattern
from harness.wsk import options as opt
from harness.wsk.types import AF_INET, AF_INET6, ControlMessage, Family

both_families = pytest.mark.parametrize("family", [AF_INET, AF_INET6], ids=["ipv4", "ipv6"])


@both_families
@pytest.mark.parametrize("which", [0, 1], ids=["primary", "secondary"])
def test_packet_information_chooses_the_source(wsk: Wsk, wire: Wire, family: Family, which: int) -> None:
    """IP_PKTINFO and IPV6_PKTINFO name the source of a socket bound to the wildcard, for one send."""
    with wsk.datagram_socket(family) as sock:
        source = wire.guest_address(which, family)
        peer = wire.peer(9000, family=family)
        wire.expect(sock.send_to(b"chosen", peer, control=[opt.pktinfo(source)]), sock.send_to(b"as ever", peer))


@both_families
def test_packet_information_with_nothing_in_it(wsk: Wsk, wire: Wire, family: Family) -> None:
    """No address and no interface leave both to the stack."""
    nothing = IPv4Address(0) if family is AF_INET else IPv6Address(0)
    with wsk.datagram_socket(family) as sock:
        wire.expect(sock.send_to(b"open", wire.peer(9000, family=family), control=[opt.pktinfo(nothing)]))


@both_families
def test_packet_information_with_a_foreign_source(wsk: Wsk, wire: Wire, family: Family) -> None:
    """An address that is not the guest's is an error, and nothing leaves with it."""
    peer = wire.peer(9000, index=2, family=family)
    with wsk.datagram_socket(family) as sock:
        wire.expect_nothing(sock.send_to(b"forged", peer, control=[opt.pktinfo(peer.address)]))
        wire.expect(sock.send_to(b"honest", peer))


@pytest.mark.parametrize("value", [0x04, 0xB8, 0xFC])
@both_families
def test_tos_of_one_send(wsk: Wsk, wire: Wire, family: Family, value: int) -> None:
    """IP_TOS and IPV6_TCLASS set the whole byte of this datagram, and of no other."""
    message = opt.tos(value) if family is AF_INET else opt.traffic_class(value)
    with wsk.datagram_socket(family) as sock:
        peer = wire.peer(9000, family=family)
        wire.expect(sock.send_to(b"marked", peer, control=[message]), sock.send_to(b"plain", peer))


@pytest.mark.parametrize("codepoint", [0, 1, 2])
@both_families
def test_ecn_of_one_send(wsk: Wsk, wire: Wire, family: Family, codepoint: int) -> None:
    """IP_ECN sets the two low bits: not capable, ECT(1) or ECT(0)."""
    with wsk.datagram_socket(family) as sock:
        peer = wire.peer(9000, family=family)
        wire.expect(sock.send_to(b"ecn", peer, control=[opt.ecn(family, codepoint)]), sock.send_to(b"plain", peer))


@both_families
def test_ecn_congestion_experienced_is_refused(wsk: Wsk, wire: Wire, family: Family) -> None:
    """CE is the network's to set: the page forbids it."""
    with wsk.datagram_socket(family) as sock:
        sock.send_to(b"ce", wire.peer(9000, family=family), control=[opt.ecn(family, opt.ECN_CE)])
        wire.expect(sock.send_to(b"plain", wire.peer(9000, family=family)))


@pytest.mark.parametrize("tos_first", [True, False], ids=["tos first", "ecn first"])
@both_families
def test_tos_and_ecn_together(wsk: Wsk, wire: Wire, family: Family, tos_first: bool) -> None:
    """ECN sets two bits only, so the other six stay as TOS says, whichever comes first."""
    messages = [opt.tos(0xB8) if family is AF_INET else opt.traffic_class(0xB8), opt.ecn(family, 2)]
    with wsk.datagram_socket(family) as sock:
        control = messages if tos_first else messages[::-1]
        wire.expect(sock.send_to(b"both", wire.peer(9000, family=family), control=control))


def test_several_messages_in_one_send(wsk: Wsk, wire: Wire) -> None:
    """Source, TOS and ECN in one block: each CMSGHDR starts on 8 bytes."""
    control = [opt.pktinfo(wire.guest_address(1)), opt.tos(0x20), opt.ecn(AF_INET, 1)]
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_to(b"three messages", wire.peer(9000), control=control))


@both_families
def test_control_information_on_fragments(wsk: Wsk, wire: Wire, family: Family) -> None:
    """Every fragment has the source and the TOS of its datagram."""
    mark = opt.tos(0x40) if family is AF_INET else opt.traffic_class(0x40)
    with wsk.datagram_socket(family) as sock:
        control = [opt.pktinfo(wire.guest_address(1, family)), mark]
        wire.expect(sock.send_to(pattern(4000), wire.peer(9000, family=family), control=control))


@pytest.mark.parametrize(("size", "segment"), [(250, 100), (300, 100), (1000, 500), (100, 100), (50, 100)])
def test_segments_of_one_send(wsk: Wsk, wire: Wire, size: int, segment: int) -> None:
    """UDP_SEND_MSG_SIZE: one call becomes datagrams of that size and a shorter last one."""
    with wsk.datagram_socket() as sock:
        sock.send_to(pattern(size), wire.peer(9000), control=[opt.segment(segment)])
        wire.expect(sock.send_to(pattern(size, 1), wire.peer(9000)))


def test_segments_by_option(wsk: Wsk, wire: Wire) -> None:
    """As a socket option it holds until it is set to 0."""
    with wsk.datagram_socket() as sock:
        sock.set_option(opt.send_message_size(200))
        sock.send_to(pattern(500), wire.peer(9000))
        sock.set_option(opt.send_message_size(0))
        wire.expect(sock.send_to(pattern(500, 1), wire.peer(9000)))


def test_an_unknown_message(wsk: Wsk, wire: Wire) -> None:
    """What nobody knows is refused or ignored; the next send is as ever."""
    with wsk.datagram_socket() as sock:
        sock.send_to(b"unknown", wire.peer(9000), control=[ControlMessage(0x7777, 1, b"data")])
        wire.expect(sock.send_to(b"plain", wire.peer(9000)))


def test_empty_messages_have_no_effect(wsk: Wsk, wire: Wire) -> None:
    """An empty IP_OPTIONS beside packet information, as some clients send it, changes nothing."""
    empty = ControlMessage(opt.IPPROTO_IP, opt.IP_OPTIONS, b"")
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_to(b"padded", wire.peer(9000), control=[opt.pktinfo(wire.guest_address(1)), empty]))


def test_control_information_of_a_failed_send(wsk: Wsk, wire: Wire) -> None:
    """A send that fails leaves no mark on the next."""
    with wsk.datagram_socket() as sock:
        wire.expect_nothing(sock.send_to(b"nowhere", None, control=[opt.tos(0xB8)]))
        wire.expect(sock.send_to(b"plain", wire.peer(9000)))
