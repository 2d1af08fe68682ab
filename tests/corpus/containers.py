"""Writes capture files of every kind that ``harness verify`` reads: pcap, pcapng, cooked, tagged, compressed.

Independent of the harness's own writer and of the kernel, so that a mistake there cannot hide here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ETHERNET, RAW, COOKED, COOKED2 = 1, 101, 113, 276
GUEST_MAC = bytes.fromhex("525400d00001")


@dataclass(frozen=True)
class Record:
    """A frame as a file holds it: ``length`` on the wire when more than ``data``, interface number, drops before it."""

    data: bytes
    length: int = 0
    interface: int = 0
    comment: str = ""


def pcap(records: Iterable[Record], order: str = "<", nano: bool = False, link: int = ETHERNET) -> bytes:
    """A classic pcap file."""
    magic = 0xA1B23C4D if nano else 0xA1B2C3D4
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link)]
    for number, record in enumerate(records):
        size = len(record.data)
        out.append(struct.pack(order + "IIII", 1_700_000_000, number, size, max(size, record.length)) + record.data)
    return b"".join(out)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """One pcapng block."""
    body += bytes(-len(body) % 4)
    return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    """One pcapng option."""
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str = "<") -> bytes:
    """A section header block."""
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(order: str = "<", link: int = ETHERNET, name: str = "dut0", resolution: int | None = 9) -> bytes:
    """An interface description block."""
    body = struct.pack(order + "HHI", link, 0, 262144) + option(2, name.encode(), order)
    if resolution is not None:
        body += option(9, bytes([resolution]), order)
    return block(1, body + option(0, b"", order), order)


def statistics(dropped: int, order: str = "<", number: int = 0) -> bytes:
    """An interface statistics block."""
    values = option(5, struct.pack(order + "Q", dropped), order) + option(7, struct.pack(order + "Q", 0), order)
    return block(5, struct.pack(order + "III", number, 0, 0) + values + option(0, b"", order), order)


def enhanced(record: Record, time: int, order: str = "<") -> bytes:
    """An enhanced packet block."""
    size = len(record.data)
    head = struct.pack(order + "IIIII", record.interface, time >> 32, time & 0xFFFFFFFF, size, max(size, record.length))
    body = head + record.data + bytes(-size % 4)
    if record.comment:
        body += option(1, record.comment.encode(), order) + option(0, b"", order)
    return block(6, body, order)


def simple(record: Record, order: str = "<") -> bytes:
    """A simple packet block."""
    return block(3, struct.pack(order + "I", max(len(record.data), record.length)) + record.data, order)


def pcapng(
    records: Iterable[Record],
    order: str = "<",
    interfaces: Sequence[bytes] = (),
    dropped: int | None = 0,
    spb: bool = False,
) -> bytes:
    """A pcapng file of one section."""
    out = [section(order), *(interfaces or [interface(order)])]
    for number, record in enumerate(records):
        out.append(simple(record, order) if spb else enhanced(record, 1_700_000_000_000_000_000 + number, order))
    if dropped is not None:
        out.append(statistics(dropped, order))
    return b"".join(out)


def cooked(record: Record, link: int) -> Record:
    """A frame as a Linux cooked capture holds it."""
    data = record.data
    kind = 4 if data[6:12] != GUEST_MAC else 1 if data[:6] == b"\xff" * 6 else 2 if data[0] & 1 else 0
    address = data[6:12] + b"\0\0"
    if link == COOKED:
        head = struct.pack(">HHH", kind, 1, 6) + address + data[12:14]
    else:
        head = data[12:14] + struct.pack(">HIHBB", 0, 3, 1, kind, 6) + address
    return Record(head + data[14:], len(head) + max(len(data), record.length) - 14, record.interface)


def tagged(record: Record, vlan: int, kind: int = 0x8100) -> Record:
    """A frame with a VLAN tag."""
    data = record.data
    return Record(data[:12] + struct.pack(">HH", kind, vlan) + data[12:], 0, record.interface)
