"""Proves a tshark that was just started by frames whose dissection is known: it must see what verdicts rest on.

Two fragments of one datagram with a good checksum, sent to a port whose protocol Wireshark knows, and a datagram whose
UDP checksum is wrong. The addresses are of documentation networks (RFC 5737) that no lab uses, so that reassembly never
meets the frames of a case.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from harness.capture.frames import CapturedFrame, Checksum, Dissection
from harness.errors import LabError

_SOURCE, _DESTINATION = bytes((203, 0, 113, 1)), bytes((203, 0, 113, 2))
_ETHERNET = bytes.fromhex("0200000000020200000000010800")
_SOURCE_PORT, _PORT = 5353, 53
_PAYLOAD = bytes(range(40))
_MORE_FRAGMENTS = 0x2000


def frames() -> list[CapturedFrame]:
    """The three frames, all with number 0: they are no frames of the capture."""
    good = _datagram(_PAYLOAD, 0)
    parts = [_packet(1, good[:24], _MORE_FRAGMENTS), _packet(1, good[24:], 24 // 8)]
    bad = _packet(2, _datagram(_PAYLOAD, 1), 0)
    return [CapturedFrame(0, 0, _ETHERNET + packet, len(_ETHERNET + packet)) for packet in (*parts, bad)]


def require(said: Sequence[Dissection | None]) -> None:
    """See that tshark said of the three frames what is true.

    Args:
        said: its dissections, in order, frames counted from 1.

    Raises:
        LabError: names what it said otherwise.
    """
    if len(said) != len(frames()) or said[1] is None or said[2] is None:
        raise LabError("tshark does not prove itself: it said nothing of the frames that it was given to begin with")
    whole, bad = said[1], said[2]
    points = (
        ("the payload of two fragments", whole.payload, _PAYLOAD),
        ("the fragments of a datagram", whole.reassembled_from, (1, 2)),
        ("a good UDP checksum", whole.udp_checksum, Checksum.GOOD),
        ("a good IP checksum", whole.ip_checksum, Checksum.GOOD),
        ("a UDP payload as plain data", whole.protocols.rpartition(":")[2], "data"),
        ("the destination port", whole.destination_port, _PORT),
        ("a wrong UDP checksum", bad.udp_checksum, Checksum.BAD),
    )
    for what, seen, expected in points:
        if seen != expected:
            raise LabError(f"tshark does not prove itself: for {what} it says {seen!r}, not {expected!r}")


def _datagram(payload: bytes, error: int) -> bytes:
    """A UDP datagram (RFC 768) whose checksum is wrong by ``error``."""
    length = 8 + len(payload)
    head = struct.pack("!HHHH", _SOURCE_PORT, _PORT, length, 0)
    pseudo = _SOURCE + _DESTINATION + struct.pack("!BBH", 0, 17, length)
    return head[:6] + struct.pack("!H", _checksum(pseudo + head + payload) ^ error) + payload


def _packet(identification: int, payload: bytes, fragment: int) -> bytes:
    """An IPv4 packet (RFC 791) without options."""
    fields = (0x45, 0, 20 + len(payload), identification, fragment, 64, 17, 0, _SOURCE, _DESTINATION)
    head = struct.pack("!BBHHHBBH4s4s", *fields)
    return head[:10] + struct.pack("!H", _checksum(head)) + head[12:] + payload


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
