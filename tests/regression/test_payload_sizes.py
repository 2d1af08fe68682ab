"""Payload sizes of both families: empty, around the Ethernet minimum, around the MTU, the maxima, and one too large.

Rules: RFC 768 (length), RFC 791 and RFC 8200 section 4.5 (fragments), model/RULES.md 2.6.
"""

from __future__ import annotations

import pytest

from harness.api import Wire, Wsk, pattern
from harness.wsk.types import AF_INET, AF_INET6


@pytest.mark.parametrize("size", [0, 1, 2, 17, 18, 19, 63, 64, 1471, 1472])
def test_ipv4_in_one_frame(wsk: Wsk, wire: Wire, size: int) -> None:
    """Up to MTU - 28 bytes a datagram is one frame; 18 bytes are the smallest that need no padding to 60."""
    with wsk.datagram_socket(AF_INET) as sock:
        wire.expect(sock.send_to(pattern(size), wire.peer(9000)))


@pytest.mark.parametrize("size", [1473, 1480, 2952, 2953, 3000, 8000, 65506, 65507])
def test_ipv4_in_fragments(wsk: Wsk, wire: Wire, size: int) -> None:
    """Above MTU - 28 bytes the datagram leaves as fragments that reassemble exactly."""
    with wsk.datagram_socket(AF_INET) as sock:
        wire.expect(sock.send_to(pattern(size), wire.peer(9000)))


@pytest.mark.parametrize("size", [65508, 65535])
def test_ipv4_too_large(wsk: Wsk, wire: Wire, size: int) -> None:
    """65,508 bytes do not fit the length field of IPv4: an error, no frame, and the socket still works."""
    with wsk.datagram_socket(AF_INET) as sock:
        wire.expect_nothing(sock.send_to(pattern(size), wire.peer(9000)))
        wire.expect(sock.send_to(b"still works", wire.peer(9000)))


@pytest.mark.parametrize("size", [0, 1, 17, 18, 64, 1451, 1452])
def test_ipv6_in_one_frame(wsk: Wsk, wire: Wire, size: int) -> None:
    """Up to MTU - 48 bytes a datagram is one frame."""
    with wsk.datagram_socket(AF_INET6) as sock:
        wire.expect(sock.send_to(pattern(size), wire.peer(9000, family=AF_INET6)))


@pytest.mark.parametrize("size", [1453, 3000, 8000, 65507, 65527])
def test_ipv6_in_fragments(wsk: Wsk, wire: Wire, size: int) -> None:
    """Above MTU - 48 bytes a Fragment header appears; 65,527 bytes is the largest payload without a jumbogram."""
    with wsk.datagram_socket(AF_INET6) as sock:
        wire.expect(sock.send_to(pattern(size), wire.peer(9000, family=AF_INET6)))


def test_ipv6_too_large(wsk: Wsk, wire: Wire) -> None:
    """65,528 bytes do not fit the length field of UDP: an error, no frame, and the socket still works."""
    with wsk.datagram_socket(AF_INET6) as sock:
        wire.expect_nothing(sock.send_to(pattern(65528), wire.peer(9000, family=AF_INET6)))
        wire.expect(sock.send_to(b"still works", wire.peer(9000, family=AF_INET6)))
