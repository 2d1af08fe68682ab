"""UDP checksums with chosen payloads: odd lengths, carries, and the computed zero that must be sent as 0xffff.

Rules: RFC 768; RFC 8200 section 8.1.
"""

from __future__ import annotations

import pytest

from harness.api import Wire, Wsk
from harness.model.checksum import folded_sum, pseudo_header
from harness.wsk.types import AF_INET, AF_INET6, Endpoint, Family


def payload_with_zero_checksum(source: Endpoint, target: Endpoint) -> bytes:
    """The two bytes that bring the sum of pseudo-header, header and payload to 0xffff, so that its complement is 0."""
    header = source.port.to_bytes(2) + target.port.to_bytes(2) + (10).to_bytes(2) + b"\0\0"
    sum_so_far = folded_sum(pseudo_header(source.address.packed, target.address.packed, 10) + header)
    return (0xFFFF - sum_so_far).to_bytes(2)


@pytest.mark.parametrize("payload", [b"\0", b"\0\0", b"\xff", b"\xff\xff", b"\xff" * 1471, b"\0" * 1472, b"A", b"AB"])
def test_checksum_of_plain_payloads(wsk: Wsk, wire: Wire, payload: bytes) -> None:
    """Odd lengths are padded with a zero byte, carries are folded."""
    with wsk.datagram_socket() as sock:
        wire.expect(sock.send_to(payload, wire.peer(4791)))


@pytest.mark.parametrize("family", [AF_INET, AF_INET6], ids=["ipv4", "ipv6"])
def test_computed_zero_is_sent_as_ffff(wsk: Wsk, wire: Wire, family: Family) -> None:
    """0 on the wire would mean "no checksum"; IPv6 forbids it."""
    source, target = wire.guest_address(0, family), wire.peer(4791, family=family)
    with wsk.datagram_socket(family, address=source, port=50000) as sock:
        payload = payload_with_zero_checksum(Endpoint(source, 50000), target)
        wire.expect(sock.send_to(payload, target))
