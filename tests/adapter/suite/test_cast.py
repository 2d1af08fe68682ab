"""A suite for a driver of somebody else's: the same ``wsk`` and ``wire``, model, capture and verdicts."""

from __future__ import annotations

import pytest

from harness.api import Wire, Wsk, pattern
from harness.wsk.types import AF_INET, AF_INET6, Family

both_families = pytest.mark.parametrize("family", [AF_INET, AF_INET6], ids=["ipv4", "ipv6"])


@both_families
@pytest.mark.parametrize("size", [0, 1, 18, 1452, 1473, 4000])
def test_cast_of_a_size(wsk: Wsk, wire: Wire, family: Family, size: int) -> None:
    """One datagram, whole, from the port that was asked for."""
    with wsk.datagram_socket(family, port=6000) as sock:
        wire.expect(sock.send_to(pattern(size), wire.peer(9000, family=family)))


def test_cast_to_several_peers(wsk: Wsk, wire: Wire) -> None:
    """Each goes where it is sent."""
    with wsk.datagram_socket(port=6001) as sock:
        for index in range(3):
            wire.expect(sock.send_to(b"to %d" % index, wire.peer(9000 + index, index=index)))


def test_what_it_has_not_is_skipped(wsk: Wsk, wire: Wire) -> None:
    """The driver knows no fixed addresses."""
    with wsk.datagram_socket() as sock:
        sock.set_sendto_address(wire.peer(9000))
