"""The options of a pcapng block (draft-ietf-opsawg-pcapng section 3.5)."""

from __future__ import annotations

import struct

IF_NAME, IF_TSRESOL, IF_FCSLEN, IF_TSOFFSET = 2, 9, 13, 14
ISB_IFDROP, ISB_OSDROP = 5, 7
EPB_FLAGS, EPB_DROPCOUNT = 2, 4
_LENGTHS = {EPB_FLAGS: 4, EPB_DROPCOUNT: 8, 5: 8, 6: 4}  # of a packet's options


class Damaged(ValueError):
    """The inside of a block is impossible, such as an option that reaches past its end; the text says what."""


def options(order: str, body: bytes, *, of_packet: bool = False) -> dict[int, bytes]:
    """The options in ``body`` by their code, the first of each.

    Args:
        order: byte order as ``struct`` writes it.
        body: the end of a block, from its first option on.
        of_packet: they belong to a packet block.

    Raises:
        Damaged: they cannot be read to their end.
    """
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(body):
        code, length = struct.unpack_from(order + "HH", body, at)
        if code == 0:
            break
        if at + 4 + length > len(body):
            raise Damaged(f"holds an option of {length} bytes that reaches past its end")
        if of_packet and _LENGTHS.get(code, length) != length:
            raise Damaged(f"holds the option {code} in {length} bytes instead of {_LENGTHS[code]}")
        found.setdefault(code, body[at + 4 : at + 4 + length])
        at += 4 + length + -length % 4
    return found


def number(order: str, value: bytes) -> int:
    """An option's value of 8 bytes as a number; 0 for other lengths."""
    return int(struct.unpack(order + "Q", value)[0]) if len(value) == 8 else 0
