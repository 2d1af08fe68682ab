"""Block types of pcapng (draft-ietf-opsawg-pcapng): which ones Wireshark numbers as frames, and how short each may be.

Frame numbers that we print must be those that Wireshark shows. Besides packets it numbers systemd journal entries,
custom blocks and sysdig events (measured with tshark 4.0), which are no frames of a network: nobody judges them.
"""

from __future__ import annotations

import struct

from harness.capture.options import Damaged, options

SHB, IDB, PB, SPB, NRB, ISB, EPB, JOURNAL, DSB = 0x0A0D0D0A, 1, 2, 3, 4, 5, 6, 9, 10
CUSTOM, CUSTOM_NO_COPY = 0x00000BAD, 0x40000BAD
SYSDIG_EVENT, SYSDIG_EVENT_2, SYSDIG_EVENT_2_LARGE = 0x204, 0x216, 0x221

PACKETS = frozenset({PB, SPB, EPB})
NUMBERED = {
    JOURNAL: "systemd journal entry",
    CUSTOM: "custom block",
    CUSTOM_NO_COPY: "custom block",
    SYSDIG_EVENT: "sysdig event",
    SYSDIG_EVENT_2: "sysdig event",
    SYSDIG_EVENT_2_LARGE: "sysdig event",
}
"""Blocks that have a frame number although they are no packets, and what they are."""

SHORTEST = {
    SHB: 28, IDB: 20, PB: 32, SPB: 16, NRB: 16, ISB: 24, EPB: 32, JOURNAL: 35, DSB: 20, CUSTOM: 16, CUSTOM_NO_COPY: 16,
    SYSDIG_EVENT: 36, SYSDIG_EVENT_2: 40, SYSDIG_EVENT_2_LARGE: 40,
}  # fmt: skip
"""Bytes that a block of the type has at least."""

VERSIONS = frozenset({(1, 0), (1, 2)})
"""Versions of a section that can be read: 1.2 was written by some programs and is 1.0."""

_NETFLIX, _NETFLIX_TYPES, _NETFLIX_SHORTEST = 10949, (1, 2), 8


def check(kind: int, order: str, body: bytes) -> None:
    """Look into a block that is neither a packet nor about interfaces.

    Args:
        kind: its type.
        order: byte order as ``struct`` writes it.
        body: what is between its two lengths.

    Raises:
        Damaged: Wireshark would not read past it.
    """
    if kind == NRB:
        options(order, body[_end_of_names(order, body) :])
    elif kind == DSB:
        length = struct.unpack_from(order + "I", body, 4)[0]
        if length > len(body) - 8:
            raise Damaged("holds secrets that reach past its end")
        options(order, body[8 + length + -length % 4 :])
    elif kind in (CUSTOM, CUSTOM_NO_COPY) and struct.unpack_from(order + "I", body)[0] == _NETFLIX:
        known = len(body) >= _NETFLIX_SHORTEST and struct.unpack_from("<I", body, 4)[0] in _NETFLIX_TYPES
        if not known:
            raise Damaged("is a custom block of Netflix of an unknown type")


def _end_of_names(order: str, body: bytes) -> int:
    """Where the records of a name resolution block end."""
    at = 0
    while at + 4 <= len(body):
        kind, length = struct.unpack_from(order + "HH", body, at)
        at += 4 + length + -length % 4
        if at > len(body):
            raise Damaged("holds names that reach past its end")
        if kind == 0:
            break
    return at
