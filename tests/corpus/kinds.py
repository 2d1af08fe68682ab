"""The good capture in every kind of file that Wireshark reads as pcap or pcapng, each with the verdict it must get.

Built here byte by byte: other blocks than packets, sections of other versions and lengths, frame check sequences said
in three ways, pcap's relatives of its first years, one interface for each component of a network stack.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from harness.offline.segments import Choice
from harness.verify.verdict import Verdict
from tests.corpus import containers as made
from tests.corpus.containers import Record
from tests.corpus.damages import FAILED, INCONCLUSIVE, PASSED, Damaged
from tests.corpus.story import SINGLE, frames, story

START = 1_700_000_000_000_000_000
CHECK = b"\xde\xad\xbe\xef"
JOURNAL = made.block(9, b"__REALTIME_TIMESTAMP=1\nMESSAGE=no packet\n")
NUMBERED = {
    "journal": JOURNAL,
    "custom": made.block(0xBAD, struct.pack("<I", 32473) + b"somebody's"),
    "custom-not-copied": made.block(0x40000BAD, struct.pack("<I", 32473) + b"somebody's"),
    "sysdig": made.block(0x204, struct.pack("<HQQIH", 1, 5, 6, 24, 7)),
    "sysdig-2": made.block(0x216, struct.pack("<HQQIHI", 1, 5, 6, 28, 7, 0)),
    "sysdig-2-large": made.block(0x221, struct.pack("<HQQIHI", 1, 5, 6, 28, 7, 0)),
}
"""Blocks that have a frame number in Wireshark although they are no packets."""

SKIPPED = {
    "names": made.block(4, struct.pack("<HH4s4sHH", 1, 8, b"\xc0\0\2\1", b"abc\0", 0, 0)),
    "secrets": made.block(10, struct.pack("<II", 0x544C534B, 4) + b"keys"),
    "unknown": made.block(0x0BAE, b"?" * 12),
    "local": made.block(0x80000001, b"private!"),
    "statistics-of-nobody": made.statistics(0, number=7),
    "unpadded-length": struct.pack("<II", 0x0BAE, 13) + bytes(4) + struct.pack("<I", 13),
}
"""Blocks that have none."""


def section(version: tuple[int, int] = (1, 0), length: int = -1, order: str = "<") -> bytes:
    """A section header of any version and section length."""
    return made.block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, *version, length), order)


def interface(*options: bytes, snap: int = 262144, link: int = made.ETHERNET) -> bytes:
    """An interface description with any options."""
    return made.block(1, struct.pack("<HHI", link, 0, snap) + b"".join(options) + made.option(0, b""))


def packets(records: Iterable[Record], order: str = "<", per_second: int = 1_000_000_000) -> list[bytes]:
    """Enhanced packet blocks, a nanosecond apart."""
    first = START * per_second // 1_000_000_000
    return [made.enhanced(record, first + number, order) for number, record in enumerate(records)]


def checked(records: Iterable[Record], check: bytes = CHECK) -> list[Record]:
    """The frames with a frame check sequence behind each."""
    return [replace(record, data=record.data + check) for record in records]


def flagged(record: Record, number: int, flags: int) -> bytes:
    """An enhanced packet block with ``epb_flags``."""
    size = len(record.data)
    head = struct.pack("<IIIII", 0, (START + number) >> 32, (START + number) & 0xFFFFFFFF, size, size)
    option = made.option(2, struct.pack("<I", flags)) + made.option(0, b"")
    return made.block(6, head + record.data + bytes(-size % 4) + option)


def old_packet(record: Record, number: int) -> bytes:
    """An obsolete packet block."""
    size = len(record.data)
    head = struct.pack("<HHIIII", 0, 0xFFFF, (START + number) >> 32, (START + number) & 0xFFFFFFFF, size, size)
    return made.block(2, head + record.data)


def pcap(
    records: Iterable[Record],
    magic: int = 0xA1B2C3D4,
    version: tuple[int, int] = (2, 4),
    link: int = 1,
    order: str = "<",
    head: bytes = b"",
    extra: bytes = b"",
    turned: bool = False,
) -> bytes:
    """A file of pcap's family: ``head`` ends its header, ``extra`` a record's; ``turned`` turns the lengths round."""
    out = [struct.pack(order + "IHHiIII", magic, *version, 0, 0, 262144, link) + head]
    for number, record in enumerate(records):
        lengths = (len(record.data), max(len(record.data), record.length))
        lengths = lengths[::-1] if turned else lengths
        out.append(struct.pack(order + "IIII", 1_700_000_000, number, *lengths) + extra + record.data)
    return b"".join(out)


def _modified(order: str, more: int = 1) -> bytes:
    """What a record of a modified pcap has more: interface, protocol, packet type, padding."""
    return struct.pack(order + "IHB", 3, 0x0800, 0) + bytes(more)


def kinds() -> Iterator[Damaged]:
    """All files; names are unique."""
    first, second = frames("sends"), frames("more")
    good = story(first, second)
    damaged = bytearray(first[SINGLE])
    damaged[45] ^= 1
    wrong = story([*first[:SINGLE], bytes(damaged), *first[SINGLE + 1 :]], second)
    yield from _blocks(good, wrong)
    yield from _sections(good)
    yield from _interfaces(good)
    yield from _checks(good)
    yield from _relatives(good)


def _blocks(good: list[Record], wrong: list[Record]) -> Iterator[Damaged]:
    for name, block in {**NUMBERED, **SKIPPED}.items():
        for status, records in ((PASSED, good), (FAILED, wrong)):
            content = made.section() + made.interface() + b"".join(block + item for item in packets(records))
            verdict, field = (None, "") if status is PASSED else (Verdict.ALTERED, "udp.payload")
            yield Damaged(f"{name}-blocks-{status}", content + made.statistics(0), status, verdict, field)
    body = b"".join(old_packet(item, number) for number, item in enumerate(good))
    yield Damaged("old-packet-blocks", made.section() + made.interface() + body + made.statistics(0), PASSED)
    head = made.section() + interface(snap=0)
    yield Damaged("simple-packets-without-snap-length", head + b"".join(made.simple(item) for item in good), PASSED)
    short = made.section() + interface(snap=60) + b"".join(made.simple(_cut(item, 60)) for item in good)
    yield Damaged("simple-packets-cut", short + made.statistics(0), INCONCLUSIVE, reason="cut by the snap length")


def _cut(record: Record, size: int) -> Record:
    return Record(record.data[:size], len(record.data))


def _sections(good: list[Record]) -> Iterator[Damaged]:
    middle, body = len(good) // 2, packets(good)
    one = made.interface() + b"".join(body[:middle])
    other = made.interface() + b"".join(body[middle:]) + made.statistics(0)
    yield Damaged("section-1.2", section((1, 2)) + one + section((1, 2)) + other, PASSED)
    yield Damaged("sections-with-their-length", section(length=len(one)) + one + section(length=-1) + other, PASSED)
    yield Damaged("section-with-a-wrong-length", section(length=20) + one + section() + other, PASSED)
    big = made.interface(">") + b"".join(packets(good, ">")[middle:]) + made.statistics(0, ">")
    yield Damaged("sections-of-both-orders", section() + one + section(order=">") + big, PASSED)
    for version in ((1, 1), (1, 3), (2, 0)):
        reason = "unknown version {}.{}".format(*version)
        content = section() + one + section(version) + other
        yield Damaged("second-section-{}.{}".format(*version), content, INCONCLUSIVE, reason="nobody could say")
        yield Damaged("section-{}.{}".format(*version), section(version) + one + other, INCONCLUSIVE, reason=reason)


def _interfaces(good: list[Record]) -> Iterator[Damaged]:
    for name, code, per_second in (("nano", 9, 10**9), ("milli", 3, 10**3), ("binary", 0x9E, 1 << 30)):
        head = made.section() + made.interface(resolution=code)
        content = head + b"".join(packets(good, per_second=per_second)) + made.statistics(0)
        yield Damaged(f"time-stamps-{name}", content, PASSED)
    shifted = interface(made.option(9, b"\x09"), made.option(14, struct.pack("<q", -3600)))
    yield Damaged("time-stamps-with-offset", made.pcapng(good, interfaces=[shifted]), PASSED)
    components = [made.interface(name="a component") for _ in range(3)]
    copies = [replace(item, interface=number) for item in good for number in range(3)]
    content = made.pcapng(copies, interfaces=components)
    yield Damaged("components", content, INCONCLUSIVE, reason="choose one with --interface")
    elsewhere = [item for item in copies if item.data[12:14] == b"\x88\xb5" or item.interface == 0]
    yield Damaged("markers-on-each-component", made.pcapng(elsewhere, interfaces=components), PASSED)
    bare = [item for item in copies if item.data[12:14] != b"\x88\xb5"]
    several = made.pcapng(bare, interfaces=components)
    yield Damaged("unmarked-components", several, INCONCLUSIVE, reason="choose one with --interface")
    yield Damaged("components-one-chosen", content, PASSED, choice=Choice(interface="1"))


def _checks(good: list[Record]) -> Iterator[Damaged]:
    ways: dict[str, Callable[[list[Record]], bytes]] = {
        "bytes": lambda records: made.pcapng(records, interfaces=[interface(made.option(13, b"\x04"))]),
        "bits": lambda records: made.pcapng(records, interfaces=[interface(made.option(13, b"\x20"))]),
        "flags": lambda records: (
            made.section()
            + made.interface()
            + b"".join(flagged(item, number, 4 << 5) for number, item in enumerate(records))
            + made.statistics(0)
        ),
        "link-field": lambda records: pcap(records, link=0x24000001),
        "link-field-big-endian": lambda records: pcap(records, link=0x24000001, order=">"),
    }
    for name, way in ways.items():
        yield Damaged(f"check-sequence-{name}", way(checked(good)), PASSED)
        trailed = checked(good, b"\x01\x02" + CHECK)
        yield Damaged(f"check-sequence-{name}-and-trailer", way(trailed), FAILED, Verdict.ALTERED, "eth.trailer")
    unsaid = {"check-sequence-not-said": pcap(checked(good)), "check-sequence-length-without-flag": None}
    unsaid["check-sequence-length-without-flag"] = pcap(checked(good), link=0x20000001)
    for name, content in unsaid.items():
        yield Damaged(name, content or b"", FAILED, Verdict.ALTERED, "eth.trailer")
    silent = b"".join(flagged(item, number, 0) for number, item in enumerate(checked(good)))
    head = made.section() + interface(made.option(9, b"\x09"), made.option(13, b"\x04"))
    yield Damaged("check-sequence-flags-that-say-nothing", head + silent + made.statistics(0), PASSED)


def _relatives(good: list[Record]) -> Iterator[Damaged]:
    for order, name in (("<", "little"), (">", "big")):
        modified, more = _modified(order), _modified(order, 5)
        for number, magic in (("1", 0x1C0001AC), ("2", 0x1C0001AB)):
            size = sum(16 + len(item.data) for item in good)
            content = pcap(good, magic, order=order, head=struct.pack(order + "I", size))
            yield Damaged(f"ixia-{number}-{name}", content, PASSED)
        yield Damaged(f"modified-{name}", pcap(good, 0xA1B2CD34, order=order, extra=modified), PASSED)
        yield Damaged(f"modified-longer-{name}", pcap(good, 0xA1B2CD34, order=order, extra=more), PASSED)
        yield Damaged(f"modified-april-{name}", pcap(good, order=order, extra=modified), PASSED)
        yield Damaged(f"version-2.2-{name}", pcap(good, version=(2, 2), order=order, turned=True), PASSED)
        yield Damaged(f"version-2.3-{name}", pcap(good, version=(2, 3), order=order), PASSED)
        yield Damaged(f"version-543-{name}", pcap(good, version=(543, 0), order=order, turned=True), PASSED)
        yield Damaged(f"aix-{name}", pcap(good, version=(2, 2), link=6, order=order, turned=True), PASSED)
    yield Damaged("nokia", pcap(good, extra=struct.pack("<I", 0x9FBFB601)), PASSED)
    yield Damaged("nokia-big-endian", pcap(good, extra=bytes(4), order=">"), PASSED)


REFUSED = {
    "version-1": pcap([], version=(1, 0)),
    "reserved-bits": pcap([], link=0x00010001),
    "short-header": pcap([])[:20],
    "another-magic": pcap([], 0xA1B2C3D5),
    "snoop": b"snoop\0\0\0" + bytes(24),
}
"""Files that are refused before a frame is read, with the advice to convert them."""
