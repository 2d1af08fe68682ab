"""Socket options and what they change on the wire: TTL, hop limit, fragments, checksums, interfaces, sharing a port.

Rules: WinSock pages of IPPROTO_IP, IPPROTO_IPV6 and IPPROTO_UDP socket options; WDK SO_BROADCAST, SO_EXCLUSIVEADDRUSE;
model/RULES.md 2.7. A default that no option set is the stack's habit and is held against its profile.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from harness.api import Wire, Wsk, pattern
from harness.wsk import options as opt
from harness.wsk.types import AF_INET, AF_INET6, Endpoint, Family

both_families = pytest.mark.parametrize("family", [AF_INET, AF_INET6], ids=["ipv4", "ipv6"])
GROUP = {AF_INET: Endpoint(IPv4Address("239.1.2.3"), 9000), AF_INET6: Endpoint(IPv6Address("ff0e::1234"), 9000)}


@both_families
@pytest.mark.parametrize("hops", [1, 33, 255])
def test_unicast_ttl(wsk: Wsk, wire: Wire, family: Family, hops: int) -> None:
    """IP_TTL and IPV6_UNICAST_HOPS set the TTL or hop limit of what goes to one host."""
    with wsk.datagram_socket(family) as sock:
        sock.set_option(opt.ttl(family, hops))
        wire.expect(sock.send_to(b"ttl", wire.peer(9000, family=family)))


@both_families
@pytest.mark.parametrize("hops", [1, 9, 255])
def test_multicast_ttl(wsk: Wsk, wire: Wire, family: Family, hops: int) -> None:
    """IP_MULTICAST_TTL and IPV6_MULTICAST_HOPS set that of what goes to a group."""
    with wsk.datagram_socket(family, address=wire.guest_address(0, family)) as sock:
        sock.set_option(opt.multicast_ttl(family, hops))
        wire.expect(sock.send_to(b"multicast ttl", GROUP[family]))


@both_families
def test_the_two_ttls_do_not_mix(wsk: Wsk, wire: Wire, family: Family) -> None:
    """One option for one host, another for groups: neither touches the other."""
    with wsk.datagram_socket(family, address=wire.guest_address(0, family)) as sock:
        sock.set_option(opt.ttl(family, 50))
        sock.set_option(opt.multicast_ttl(family, 7))
        wire.expect(sock.send_to(b"one", wire.peer(9000, family=family)), sock.send_to(b"many", GROUP[family]))


@both_families
def test_an_option_acts_from_one_send_to_the_next(wsk: Wsk, wire: Wire, family: Family) -> None:
    """Each datagram has the TTL that was set last before it."""
    with wsk.datagram_socket(family) as sock:
        for hops in (10, 200, 64):
            sock.set_option(opt.ttl(family, hops))
            wire.expect(sock.send_to(b"%d" % hops, wire.peer(9000, family=family)))


@both_families
@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
def test_multicast_loop(wsk: Wsk, wire: Wire, family: Family, on: bool) -> None:
    """Loop decides on copies for the host itself: one frame on the wire either way."""
    with wsk.datagram_socket(family, address=wire.guest_address(0, family)) as sock:
        sock.set_option(opt.multicast_loop(family, on))
        wire.expect(sock.send_to(b"loop", GROUP[family]))


def test_multicast_interface_by_address(wsk: Wsk, wire: Wire) -> None:
    """IP_MULTICAST_IF takes an address of the interface."""
    with wsk.datagram_socket(address=wire.guest_address()) as sock:
        address = wire.guest_address(0, AF_INET)
        assert isinstance(address, IPv4Address)
        sock.set_option(opt.multicast_if(AF_INET, address))
        wire.expect(sock.send_to(b"by address", GROUP[AF_INET]))


@both_families
def test_unicast_interface_left_open(wsk: Wsk, wire: Wire, family: Family) -> None:
    """Index 0 in IP_UNICAST_IF and IPV6_UNICAST_IF leaves the route to the stack."""
    with wsk.datagram_socket(family) as sock:
        sock.set_option(opt.unicast_if(family, 0))
        wire.expect(sock.send_to(b"any interface", wire.peer(9000, family=family)))


@both_families
def test_dont_fragment(wsk: Wsk, wire: Wire, family: Family) -> None:
    """What fits leaves (IPv4 with DF), what does not is an error and nothing; off again, it is fragmented."""
    fits, peer = wire.most_in_one_frame(family), wire.peer(9000, family=family)
    with wsk.datagram_socket(family) as sock:
        sock.set_option(opt.dont_fragment(family))
        wire.expect(sock.send_to(pattern(fits), peer))
        wire.expect_nothing(sock.send_to(pattern(fits + 1), peer))
        sock.set_option(opt.dont_fragment(family, False))
        wire.expect(sock.send_to(pattern(fits + 1), peer))


@both_families
@pytest.mark.parametrize("mode", [opt.PMTUDISC_DO, opt.PMTUDISC_PROBE], ids=["do", "probe"])
def test_path_mtu_discovery_forbids_fragments(wsk: Wsk, wire: Wire, family: Family, mode: int) -> None:
    """IP_MTU_DISCOVER DO and PROBE: DF on what fits the interface's MTU, an error for what does not."""
    fits, peer = wire.most_in_one_frame(family), wire.peer(9000, family=family)
    with wsk.datagram_socket(family) as sock:
        sock.set_option(opt.mtu_discover(family, mode))
        wire.expect(sock.send_to(pattern(fits), peer))
        wire.expect_nothing(sock.send_to(pattern(fits + 1), peer))


@both_families
def test_path_mtu_discovery_off(wsk: Wsk, wire: Wire, family: Family) -> None:
    """IP_MTU_DISCOVER DONT: no DF, and fragments are allowed."""
    with wsk.datagram_socket(family) as sock:
        sock.set_option(opt.mtu_discover(family, opt.PMTUDISC_DONT))
        for size in (10, wire.most_in_one_frame(family) + 1):
            wire.expect(sock.send_to(pattern(size), wire.peer(9000, family=family)))


@pytest.mark.parametrize("size", [3, 3000], ids=["one frame", "fragments"])
def test_no_checksum(wsk: Wsk, wire: Wire, size: int) -> None:
    """UDP_NOCHECKSUM: the checksum field of IPv4 is 0, until it is switched off."""
    with wsk.datagram_socket() as sock:
        sock.set_option(opt.no_checksum())
        wire.expect(sock.send_to(pattern(size), wire.peer(9000)))
        sock.set_option(opt.no_checksum(False))
        wire.expect(sock.send_to(pattern(size, 1), wire.peer(9000)))


def test_no_checksum_never_on_ipv6(wsk: Wsk, wire: Wire) -> None:
    """IPv6 forbids a zero checksum (RFC 8200 section 8.1), whatever the option says."""
    with wsk.datagram_socket(AF_INET6) as sock:
        sock.set_option(opt.no_checksum())
        wire.expect(sock.send_to(b"summed", wire.peer(9000, family=AF_INET6)))


def test_reused_address(wsk: Wsk, wire: Wire) -> None:
    """With SO_REUSEADDR on both, two sockets share a port; each sends with it."""
    with wsk.datagram_socket(bind=False) as one, wsk.datagram_socket(bind=False) as two:
        for sock in (one, two):
            sock.set_option(opt.reuse_address())
            sock.bind(port=5030)
        wire.expect(one.send_to(b"one", wire.peer(9000)), two.send_to(b"two", wire.peer(9001)))


def test_exclusive_address(wsk: Wsk, wire: Wire) -> None:
    """SO_EXCLUSIVEADDRUSE keeps everybody else from the port."""
    with wsk.datagram_socket(bind=False) as one, wsk.datagram_socket(bind=False) as two:
        one.set_option(opt.exclusive_address())
        one.bind(port=5031)
        two.bind(port=5031)
        assert two.local is None
        wire.expect(one.send_to(b"mine alone", wire.peer(9000)))


@pytest.mark.parametrize(
    "option",
    [
        opt.broadcast(),
        opt.ttl(AF_INET, 77),
        opt.multicast_ttl(AF_INET, 5),
        opt.multicast_loop(AF_INET, False),
        opt.mtu_discover(AF_INET, opt.PMTUDISC_DO),
        opt.dont_fragment(AF_INET),
        opt.no_checksum(),
        opt.send_message_size(700),
    ],
    ids=["broadcast", "ttl", "multicast ttl", "loop", "mtu discover", "dont fragment", "no checksum", "message size"],
)
def test_an_option_is_told_as_it_was_set(wsk: Wsk, option: opt.SocketOption) -> None:
    """WskGetOption brings the value that WskSetOption took."""
    with wsk.datagram_socket() as sock:
        assert sock.set_option(option).outcome.completion is not None
        assert sock.get_option(option.level, option.name, 4).data == option.value


@pytest.mark.parametrize(
    ("level", "name", "value"),
    [(0x7777, 1, b"\0\0\0\0"), (opt.IPPROTO_IP, 0x7777, b"\0\0\0\0"), (opt.IPPROTO_IP, opt.IP_TTL, b"\1")],
    ids=["level", "name", "length"],
)
def test_an_option_that_nobody_knows(wsk: Wsk, wire: Wire, level: int, name: int, value: bytes) -> None:
    """An error that is observed, not asserted; the socket goes on as before."""
    with wsk.datagram_socket() as sock:
        sock.set_option(opt.SocketOption(level, name, value))
        wire.expect(sock.send_to(b"as before", wire.peer(9000)))
