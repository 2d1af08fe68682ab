"""Recognises a frame that is no UDP datagram any more as an expected datagram of which a few bytes were damaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.model.datagram import ChecksumRule, ExpectedDatagram
from harness.model.frames import ChecksumField, Packet, encode
from harness.verify import wrong
from harness.verify.compare import Difference, Slot
from harness.verify.seen import Other
from harness.wsk.types import Endpoint, Family

_FEW_BYTES = 8
_PAIRS = 250_000
_SAMPLE = 256

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
_HEADERS = 62  # bytes of the longer of both headers: what follows is payload and padding


def damaged_frames(
    slots: Sequence[Slot], others: Sequence[Other], port: Callable[[ExpectedDatagram], int]
) -> list[tuple[Slot, Other, Difference]]:
    """The expected datagrams that a frame without UDP was meant to be, each with its frame and the first wrong field.

    Each slot takes the first frame that fits. At most ``_PAIRS`` pairs are compared, the first frames for each slot.
    """
    out: list[tuple[Slot, Other, Difference]] = []
    by_length: dict[int, list[Other]] = {}
    samples: dict[int, bytes] = {}
    for other in others:
        if len(other.data) >= 42:
            by_length.setdefault(len(other.data), []).append(other)
            samples[id(other)] = _sample(other.data)
    most = max(1, _PAIRS // max(1, len(slots)))
    for slot in slots:
        if len(slot.expected.layout) != 1 or not by_length:
            continue
        frame = _frame(slot, port(slot.expected))
        candidates = by_length.get(len(frame), [])
        if not candidates:
            continue
        sample = _sample(frame)
        for at, other in enumerate(candidates[:most]):
            if wrong.count(sample, samples[id(other)]) > _FEW_BYTES:
                continue
            found = _damage(frame, other.data, slot.expected, port(slot.expected))
            if found is not None:
                out.append((slot, other, found))
                del candidates[at]
                break
    return out


def _sample(data: bytes) -> bytes:
    """Some bytes behind the headers, so that most frames that differ much are told apart without reading them whole."""
    body = data[_HEADERS:]
    step = max(1, len(body) // _SAMPLE)
    return body[::step]


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
    starts = [start for start, _ in table]
    differs = wrong.difference(frame, data)
    free = [name in _FREE or (name == "udp.source_port" and not port) for _, name in table]
    ends = [*starts[1:], len(frame)]
    counts = [
        0 if is_free else end - start - differs.count(0, start, end)
        for start, end, is_free in zip(starts, ends, free, strict=True)
    ]
    if not 0 < sum(counts) <= _FEW_BYTES:
        return None
    number = next(at for at, count in enumerate(counts) if count)
    start, name = table[number]
    end = ends[number]
    return Difference(name, _short(frame[start:end]), _short(data[start:end]))


def _short(data: bytes) -> str:
    return f"0x{data.hex()}" if len(data) <= 16 else f"0x{data[:16].hex()}..."
