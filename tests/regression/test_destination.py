"""Where a datagram goes: the RemoteAddress of the call, the fixed remote and the fixed destination address.

Rules: WDK pages of WskSendTo, SIO_WSK_SET_REMOTE_ADDRESS and SIO_WSK_SET_SENDTO_ADDRESS; model/RULES.md 2.2.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.api import DatagramSocket, Wire, Wsk
from harness.wsk.operations import Step
from harness.wsk.types import AF_INET, AF_INET6, Endpoint, Family

Fix = Callable[[DatagramSocket, Endpoint | None], Step]
both_ioctls = pytest.mark.parametrize(
    "fix", [DatagramSocket.set_remote_address, DatagramSocket.set_sendto_address], ids=["remote", "sendto"]
)
both_families = pytest.mark.parametrize("family", [AF_INET, AF_INET6], ids=["ipv4", "ipv6"])


@both_families
def test_explicit_address(wsk: Wsk, wire: Wire, family: Family) -> None:
    """Each send goes where its RemoteAddress says."""
    with wsk.datagram_socket(family) as sock:
        for index, port in enumerate((9000, 9001, 0x1234)):
            wire.expect(sock.send_to(f"to {index}".encode(), wire.peer(port, index=index, family=family)))


@both_families
def test_port_bytes_are_in_network_order(wsk: Wsk, wire: Wire, family: Family) -> None:
    """A port with unequal bytes shows a missing byte swap."""
    with wsk.datagram_socket(family) as sock:
        wire.expect(sock.send_to(b"0x0102", wire.peer(0x0102, family=family)))
        wire.expect(sock.send_to(b"0xfffe", wire.peer(0xFFFE, family=family)))


@both_ioctls
@both_families
def test_null_address_goes_to_the_fixed_address(wsk: Wsk, wire: Wire, family: Family, fix: Fix) -> None:
    """Once an address is fixed, NULL goes there."""
    with wsk.datagram_socket(family) as sock:
        fix(sock, wire.peer(9000, family=family))
        wire.expect(sock.send_to(b"fixed", None))


@both_ioctls
@both_families
def test_explicit_address_overrides_for_one_send(wsk: Wsk, wire: Wire, family: Family, fix: Fix) -> None:
    """An address in the call wins, and only for that call."""
    with wsk.datagram_socket(family) as sock:
        fix(sock, wire.peer(9000, family=family))
        wire.expect(sock.send_to(b"first", None))
        wire.expect(sock.send_to(b"override", wire.peer(9100, index=1, family=family)))
        wire.expect(sock.send_to(b"fixed again", None))


@both_ioctls
@both_families
def test_fixed_address_can_be_changed(wsk: Wsk, wire: Wire, family: Family, fix: Fix) -> None:
    """Setting it again replaces it."""
    with wsk.datagram_socket(family) as sock:
        fix(sock, wire.peer(9000, family=family))
        wire.expect(sock.send_to(b"one", None))
        fix(sock, wire.peer(9001, index=1, family=family))
        wire.expect(sock.send_to(b"two", None))


@both_ioctls
@both_families
def test_cleared_address_is_gone(wsk: Wsk, wire: Wire, family: Family, fix: Fix) -> None:
    """After a clear, NULL has nowhere to go; an explicit address still works."""
    with wsk.datagram_socket(family) as sock:
        fix(sock, wire.peer(9000, family=family))
        wire.expect(sock.send_to(b"fixed", None))
        fix(sock, None)
        wire.expect_nothing(sock.send_to(b"lost", None))
        wire.expect(sock.send_to(b"explicit", wire.peer(9001, family=family)))


@both_families
def test_null_address_with_nothing_fixed(wsk: Wsk, wire: Wire, family: Family) -> None:
    """No address anywhere: an error and no frame."""
    with wsk.datagram_socket(family) as sock:
        wire.expect_nothing(sock.send_to(b"nowhere", None))


def test_remote_and_destination_are_kept_apart_per_socket(wsk: Wsk, wire: Wire) -> None:
    """What one socket fixed does not leak into another."""
    with wsk.datagram_socket() as one, wsk.datagram_socket() as two:
        one.set_remote_address(wire.peer(9000))
        two.set_sendto_address(wire.peer(9001, index=1))
        for index in range(3):
            wire.expect(one.send_to(b"one %d" % index, None), two.send_to(b"two %d" % index, None))
