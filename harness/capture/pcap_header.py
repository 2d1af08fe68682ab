"""The file header of pcap (draft-ietf-opsawg-pcap) and of its relatives that share its magic number.

Read as Wireshark reads them: microseconds and nanoseconds in either byte order, Ixia's header with four more bytes,
AIX with its own link types, old versions with the two lengths swapped, and the modified pcaps of 1999 (Kuznetsov) and
of Nokia, whose records begin with more bytes. The modified ones do not say which they are: the variant is taken whose
first records look right.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import Enum

from harness.capture import fcs

MAX_FRAME = 262_144
"""Longest frame that is believed: libpcap's MAXIMUM_SNAPLEN."""

_MICRO, _NANO = 1_000_000, 1_000_000_000
_STANDARD, _MODIFIED = 0xA1B2C3D4, 0xA1B2CD34
_UNITS = {_STANDARD: _MICRO, 0xA1B23C4D: _NANO, _MODIFIED: _MICRO, 0x1C0001AC: _MICRO, 0x1C0001AB: _MICRO}
_IXIA = (0x1C0001AC, 0x1C0001AB)  # in microseconds, as tshark 4.0 has both
_AIX_LINKS = {6: 1, 9: 6, 15: 10, 24: 0}
_RESERVED = 0x03FF0000
_LONGEST_ON_WIRE = 128 << 20
_RECORDS = 3


class Lengths(Enum):
    """In which order a record has its two lengths."""

    CAPTURED_FIRST = "captured, original"
    ORIGINAL_FIRST = "original, captured"
    SMALLER_IS_CAPTURED = "either"


@dataclass(frozen=True, slots=True)
class Header:
    """What a pcap file says of itself.

    Args:
        order: byte order as ``struct`` writes it.
        units: time stamp units per second.
        start: bytes before the first record.
        record: bytes before each frame.
        lengths: the order of a record's lengths.
        snap: snap length.
        link: link type.
        fcs: bytes of frame check sequence at the end of each frame.
        variant: name of a variant of pcap; empty for the usual one.
    """

    order: str
    units: int
    start: int
    record: int
    lengths: Lengths
    snap: int
    link: int
    fcs: int
    variant: str = ""


class Unreadable(ValueError):
    """A pcap file that nobody can read; the text says why."""


def is_pcap(head: bytes) -> bool:
    """Whether a file that begins like that is pcap or one of its relatives."""
    return len(head) >= 4 and any(struct.unpack_from(order + "I", head)[0] in _UNITS for order in "<>")


def read_header(head: bytes, *, whole: bool = True) -> Header:
    """The header of a pcap file.

    Args:
        head: the file's beginning: its header, and the first records as far as they were read.
        whole: the file has no more bytes than these.

    Raises:
        Unreadable: it is cut short, or of a kind that Wireshark does not read either.
    """
    order = next(order for order in "<>" if struct.unpack_from(order + "I", head)[0] in _UNITS)
    magic = struct.unpack_from(order + "I", head)[0]
    start = 28 if magic in _IXIA else 24
    if len(head) < start:
        raise Unreadable(f"ends in the middle of its pcap header, after {len(head)} bytes")
    major, minor, _, _, snap, network = struct.unpack_from(order + "HHiIII", head, 4)
    if major < 2:
        raise Unreadable(f"is a pcap file of the unknown version {major}.{minor}")
    header = Header(order, _UNITS[magic], start, 16, _lengths(major, minor), snap, network, 0)
    is_aix = magic == _STANDARD and (major, minor) == (2, 2) and network in _AIX_LINKS
    if is_aix:
        network = _AIX_LINKS[network]
        header = replace(header, units=_NANO, variant="AIX")
    if network & _RESERVED:
        raise Unreadable(f"has reserved bits set in its link type field 0x{network:08x}")
    header = replace(header, link=network & 0xFFFF, fcs=fcs.of_link_field(network))
    if magic == _MODIFIED:
        return _likeliest(head, whole, [replace(header, record=24, variant="modified"),
                                 replace(header, record=28, variant="modified, with 4 more bytes")])  # fmt: skip
    if magic == _STANDARD and not is_aix and header.lengths is Lengths.CAPTURED_FIRST:
        return _likeliest(head, whole, [header, replace(header, record=24, variant="modified of April 1999"),
                                 replace(header, record=20, variant="Nokia")])  # fmt: skip
    return header


def _lengths(major: int, minor: int) -> Lengths:
    """Version 2.3 turned the lengths round, but not every file of 2.3 has them so; DG/UX writes 543.0 the old way."""
    if (major, minor) < (2, 3) or major == 543:
        return Lengths.ORIGINAL_FIRST
    return Lengths.SMALLER_IS_CAPTURED if (major, minor) == (2, 3) else Lengths.CAPTURED_FIRST


def _likeliest(head: bytes, whole: bool, variants: list[Header]) -> Header:
    return min(variants, key=lambda variant: _oddities(head, whole, variant))


def _oddities(head: bytes, whole: bool, header: Header) -> int:
    """How many things in the first records look wrong if they are of that variant."""
    found: int = 0
    at = header.start
    for _ in range(_RECORDS):
        if at == len(head):
            break
        if at + header.record > len(head):
            return found + whole
        _, fraction, captured, original = struct.unpack_from(header.order + "IIII", head, at)
        found += sum((fraction >= _MICRO, captured > MAX_FRAME, captured > header.snap))
        found += sum((original > _LONGEST_ON_WIRE, captured > original))
        found += _odd_extra(header, head[at + 16 : at + header.record])
        if captured > MAX_FRAME:
            break
        at += header.record + captured
        if at > len(head):
            return found + whole
    return found


def _odd_extra(header: Header, extra: bytes) -> int:
    """The same for the bytes that a modified record has more than a usual one."""
    if len(extra) < 8:  # a usual record has none, and nothing is known of what Nokia's four mean
        return 0
    interface, protocol, kind = struct.unpack_from(header.order + "IHB", extra)
    is_known = protocol >= 0x600 or protocol <= 0x17 or protocol in (0x60, 0x200, 0x400)
    return sum((interface > 10_000, not is_known, kind > 4))
