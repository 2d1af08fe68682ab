"""The Internet checksum (RFC 1071) and UDP's use of it (RFC 768, RFC 8200 section 8.1).

The partial checksum is what a frame carries whose checksum was left to the hardware: the folded sum of the
pseudo-header, not complemented.
"""

from __future__ import annotations


def folded_sum(data: bytes) -> int:
    """One's complement sum of big-endian 16-bit words, an odd last byte padded with zero; 0..0xFFFF.

    65536 is 1 modulo 65535, so the sum of the words is the whole number modulo 65535; of the two zeros of one's
    complement, 0xFFFF is the sum of anything but zeros.
    """
    number = int.from_bytes(data, "big")
    if len(data) & 1:
        number <<= 8
    return number % 0xFFFF or (0xFFFF if number else 0)


def internet_checksum(data: bytes) -> int:
    """The checksum field for data whose own checksum field is zero."""
    return folded_sum(data) ^ 0xFFFF


def pseudo_header(source: bytes, destination: bytes, udp_length: int) -> bytes:
    """UDP's pseudo-header for packed addresses of 4 or 16 bytes."""
    if len(source) == 4:
        return source + destination + b"\x00\x11" + udp_length.to_bytes(2, "big")
    return source + destination + udp_length.to_bytes(4, "big") + b"\x00\x00\x00\x11"


def partial_checksum(source: bytes, destination: bytes, udp_length: int) -> int:
    """What the UDP checksum field shows when it was left to the hardware."""
    return folded_sum(pseudo_header(source, destination, udp_length))


def udp_checksum(source: bytes, destination: bytes, segment: bytes) -> int:
    """UDP checksum of a header (its checksum field zero) with its payload; a computed 0 is sent as 0xFFFF."""
    return folded_sum(pseudo_header(source, destination, len(segment)) + segment) ^ 0xFFFF or 0xFFFF


def udp_sums_up(source: bytes, destination: bytes, segment: bytes) -> bool:
    """Whether a received header and payload, checksum field included, sum to 0xFFFF."""
    return folded_sum(pseudo_header(source, destination, len(segment)) + segment) == 0xFFFF
