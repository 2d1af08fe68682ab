"""Finds for a damaged datagram the expected one that it was meant to be, by how much of its identity is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from harness.model.datagram import ChecksumRule, ExpectedDatagram
from harness.model.frames import ChecksumField, Packet, encode
from harness.verify.compare import Difference, Slot
from harness.verify.seen import Other, SeenDatagram
from harness.wsk.types import Endpoint, Family

_ENOUGH = 5
_PAIRS = 250_000
_FEW_BYTES = 8

_IPV4_FIELDS = (
    (14, "ip.version_ihl"), (15, "ip.tos"), (16, "ip.length"), (18, "ip.id"), (20, "ip.flags"), (22, "ip.ttl"),
    (23, "ip.protocol"), (24, "ip.header_checksum"), (26, "ip.source"), (30, "ip.destination"),
    (34, "udp.source_port"), (36, "udp.destination_port"), (38, "udp.length"), (40, "udp.checksum"),
    (42, "udp.payload"),
)  # fmt: skip
_IPV6_FIELDS = (
    (14, "ip.version"), (16, "ip.flow_label"), (18, "ip.length"), (20, "ip.protocol"), (21, "ip.ttl"),
    (22, "ip.source"), (38, "ip.destination"), (54, "udp.source_port"), (56, "udp.destination_port"),
    (58, "udp.length"), (60, "udp.checksum"), (62, "udp.payload"),
)  # fmt: skip
_ETHERNET_FIELDS = ((0, "eth.destination"), (6, "eth.source"), (12, "eth.type"))
_FREE = frozenset({"ip.id", "ip.flow_label", "ip.header_checksum", "udp.checksum"})


def nearest_pairs(
    slots: Sequence[Slot], seen: Sequence[SeenDatagram], port: Callable[[ExpectedDatagram], int]
) -> Iterator[tuple[Slot, SeenDatagram]]:
    """Pairs of expected and seen datagrams, nearest first, each used once; what has nothing in common is not paired."""
    window = max(1, _PAIRS // max(1, len(seen)))
    scored: list[tuple[int, int, int, int]] = []
    for j, item in enumerate(seen):
        start = max(0, min(j - window // 2, len(slots) - window))
        for i in range(start, min(len(slots), start + window)):
            score = _likeness(slots[i], item, port(slots[i].expected))
            if score >= _ENOUGH:
                scored.append((-score, abs(i - j), i, j))
    scored.sort()
    used_slots: set[int] = set()
    used_seen: set[int] = set()
    for _, _, i, j in scored:
        if i not in used_slots and j not in used_seen:
            used_slots.add(i)
            used_seen.add(j)
            yield slots[i], seen[j]


def _likeness(slot: Slot, seen: SeenDatagram, port: int) -> int:
    """How much of the expected datagram's identity is left; from ``_ENOUGH`` on it is taken for the same one."""
    best = 0
    for form in slot.forms:
        expected = form.expected
        score = _payload_likeness(slot.payload, seen.payload)
        score += 3 * (seen.destination == form.destination) + 3 * (seen.destination_port == expected.destination.port)
        score += (seen.source in form.sources) + (2 if port and seen.source_port == port else int(port == 0))
        score += seen.destination_mac == expected.destination_mac
        best = max(best, score)
    return best


def _payload_likeness(expected: bytes, seen: bytes) -> int:
    if expected == seen:
        return 6 if expected else 2
    shared = min(len(expected), len(seen))
    if not shared:
        return -2
    if expected[:shared] == seen[:shared]:
        return 4
    if len(expected) == len(seen):
        wrong = sum(1 for a, b in zip(expected, seen, strict=True) if a != b)
        return 4 if wrong <= max(1, shared // 8) else 2 if wrong <= shared // 2 else 0
    return 3 if shared >= 8 and (expected[:16] in seen or seen[:16] in expected or expected[-16:] in seen) else 0


def damaged_frames(
    slots: Sequence[Slot], others: Sequence[Other], port: Callable[[ExpectedDatagram], int]
) -> list[tuple[Slot, Other, Difference]]:
    """Frames that are no UDP datagram any more, but an expected one but for a few bytes: which, and the first field."""
    out: list[tuple[Slot, Other, Difference]] = []
    free = [other for other in others if len(other.data) >= 42]
    for slot in slots:
        if len(slot.expected.layout) != 1 or not free:
            continue
        frame = _frame(slot, port(slot.expected))
        for other in free:
            found = _damage(frame, other.data, slot.expected, port(slot.expected))
            if found is not None:
                out.append((slot, other, found))
                free.remove(other)
                break
    return out


def _frame(slot: Slot, port: int) -> bytes:
    e = slot.expected
    checksum = ChecksumField.ZERO if e.checksum is ChecksumRule.NONE else ChecksumField.FULL
    packet = Packet(
        e.source_mac, e.destination_mac, Endpoint(e.source.address, port), e.destination, slot.payload, e.ttl, e.tos,
        e.dont_fragment, checksum=checksum, mtu=65575,
    )  # fmt: skip
    return encode(packet)[0] + bytes(e.trailer)


def _damage(frame: bytes, data: bytes, expected: ExpectedDatagram, port: int) -> Difference | None:
    if len(frame) != len(data):
        return None
    if expected.destination.family is Family.INET6:  # the flow label is free, and begins in the version's word
        frame = frame[:15] + bytes([frame[15] & 0xF0 | data[15] & 0x0F]) + data[16:18] + frame[18:]
    table = _ETHERNET_FIELDS + (_IPV4_FIELDS if expected.destination.family is Family.INET else _IPV6_FIELDS)
    ends = [start for start, _ in table[1:]] + [len(frame)]
    found: list[Difference] = []
    wrong = 0
    for (start, name), end in zip(table, ends, strict=True):
        if frame[start:end] == data[start:end] or name in _FREE or (name == "udp.source_port" and not port):
            continue
        wrong += sum(1 for a, b in zip(frame[start:end], data[start:end], strict=True) if a != b)
        found.append(Difference(name, _short(frame[start:end]), _short(data[start:end])))
    return found[0] if found and wrong <= _FEW_BYTES else None


def _short(data: bytes) -> str:
    return f"0x{data.hex()}" if len(data) <= 16 else f"0x{data[:16].hex()}..."
