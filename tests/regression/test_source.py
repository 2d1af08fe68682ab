"""Where a datagram comes from: bound and ephemeral ports, wildcard and given local addresses.

Rules: WDK pages "Binding a Socket to a Transport Address" and WskGetLocalAddress; model/RULES.md 2.7, 4.2.
"""

from __future__ import annotations

import pytest

from harness.api import Wire, Wsk
from harness.wsk.types import AF_INET, AF_INET6, Family

both_families = pytest.mark.parametrize("family", [AF_INET, AF_INET6], ids=["ipv4", "ipv6"])


@both_families
def test_ephemeral_port_is_the_reported_one(wsk: Wsk, wire: Wire, family: Family) -> None:
    """Port 0 at bind: WskGetLocalAddress tells the port that the wire shows."""
    with wsk.datagram_socket(family) as sock:
        assert sock.local is not None
        assert sock.local.port != 0
        wire.expect(sock.send_to(b"ephemeral", wire.peer(9000, family=family)))


@both_families
def test_given_port(wsk: Wsk, wire: Wire, family: Family) -> None:
    """A port asked for is the port on the wire."""
    with wsk.datagram_socket(family, port=40961) as sock:
        assert sock.local is not None
        assert sock.local.port == 40961
        wire.expect(sock.send_to(b"given", wire.peer(9000, family=family)))


@both_families
def test_wildcard_source_follows_the_route(wsk: Wsk, wire: Wire, family: Family) -> None:
    """Bound to the wildcard, the stack takes the interface's primary address."""
    with wsk.datagram_socket(family, port=5001) as sock:
        wire.expect(sock.send_to(b"wildcard", wire.peer(9000, family=family)))


@both_families
@pytest.mark.parametrize("which", [0, 1], ids=["primary", "secondary"])
def test_given_source_address(wsk: Wsk, wire: Wire, family: Family, which: int) -> None:
    """Bound to one of two addresses, that one is the source."""
    with wsk.datagram_socket(family, address=wire.guest_address(which, family)) as sock:
        wire.expect(sock.send_to(b"given source", wire.peer(9000, family=family)))


def test_port_in_use_is_refused(wsk: Wsk, wire: Wire) -> None:
    """A second bind to the same address and port fails; the first socket still sends."""
    with wsk.datagram_socket(port=5002) as one, wsk.datagram_socket(bind=False) as two:
        two.bind(port=5002)
        wire.expect(one.send_to(b"mine", wire.peer(9000)))


@both_families
def test_send_before_bind(wsk: Wsk, wire: Wire, family: Family) -> None:
    """WSK has no implicit bind: a send on an unbound socket is an error and puts nothing on the wire."""
    with wsk.datagram_socket(family, bind=False) as sock:
        wire.expect_nothing(sock.send_to(b"too early", wire.peer(9000, family=family)))
        sock.bind()
        wire.expect(sock.send_to(b"now", wire.peer(9000, family=family)))
