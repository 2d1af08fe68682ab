"""Makes damaged captures from a good one, each with the verdict that it must get.

``python -m tests.corpus.damages FOLDER`` writes them all, for a look with other tools.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.capture.marker import Edge
from harness.model.checksum import internet_checksum
from harness.model.frames import ChecksumField, encode
from harness.model.predict import predict
from harness.offline.segments import Choice
from harness.verify.verdict import Status, Verdict
from tests.corpus import containers as made
from tests.corpus.containers import Record
from tests.corpus.story import (
    BIG,
    BIG_SIX,
    BURST,
    EMPTY,
    FIRST,
    RUN,
    SINGLE,
    SITE,
    SIX,
    STEPS,
    frames,
    marker,
    story,
    write_plan,
)
from tests.unit.verify_kit import packet, raw

PASSED, FAILED, INCONCLUSIVE = Status.PASSED, Status.FAILED, Status.INCONCLUSIVE
Frames = list[bytes]
Change = Callable[[Frames], Frames]
_ALL = Choice()


@dataclass(frozen=True)
class Damaged:
    """One file of the corpus.

    Args:
        name: what was done to it; the file's name.
        content: its bytes.
        status: the status that its verdict must have.
        verdict, field: what the first finding must say; ``None`` when there must be none.
        counts: datagrams by verdict that must come out.
        reason: words that the reason must have.
        choice: what of the file is looked at.
    """

    name: str
    content: bytes
    status: Status = FAILED
    verdict: Verdict | None = None
    field: str = ""
    counts: Mapping[str, int] | None = None
    reason: str = ""
    choice: Choice = _ALL


def at(index: int, change: Callable[[bytearray], object]) -> Change:
    """Change one frame in place."""

    def apply(given: Frames) -> Frames:
        data = bytearray(given[index])
        change(data)
        return [*given[:index], bytes(data), *given[index + 1 :]]

    return apply


def flip(byte: int, bit: int = 0) -> Callable[[bytearray], None]:
    """Flip one bit."""

    def apply(data: bytearray) -> None:
        data[byte] ^= 1 << bit

    return apply


def put(byte: int, value: bytes, mend: bool = True) -> Callable[[bytearray], None]:
    """Write bytes, and make the IPv4 header's checksum right again when asked."""

    def apply(data: bytearray) -> None:
        data[byte : byte + len(value)] = value
        if mend and data[12:14] == b"\x08\x00":
            data[24:26] = b"\0\0"
            data[24:26] = internet_checksum(bytes(data[14:34])).to_bytes(2, "big")

    return apply


def drop(*indexes: int) -> Change:
    """Leave frames out."""
    return lambda given: [data for index, data in enumerate(given) if index not in indexes]


def again(index: int, after: int = 0) -> Change:
    """Repeat a frame."""
    return lambda given: [*given[: index + 1 + after], given[index], *given[index + 1 + after :]]


def swap(one: int, two: int) -> Change:
    """Let two frames change places."""

    def apply(given: Frames) -> Frames:
        out = list(given)
        out[one], out[two] = out[two], out[one]
        return out

    return apply


def tag(index: int, *vlans: int) -> Change:
    """Give a frame VLAN tags."""

    def apply(given: Frames) -> Frames:
        data = given[index]
        for vlan in vlans:
            data = made.tagged(Record(data), vlan).data
        return [*given[:index], data, *given[index + 1 :]]

    return apply


def insert(index: int, *more: bytes) -> Change:
    """Put further frames in."""
    return lambda given: [*given[:index], *more, *given[index:]]


def _remade(case: str, index: int, **changes: object) -> Change:
    """Encode one datagram of a case anew with other values, its checksums right."""

    def apply(given: Frames) -> Frames:
        predictions = predict([step for step in STEPS if step.case == case], SITE)
        made_ = [packet(item, SITE, ident=n + 1) for n, item in enumerate(d for p in predictions for d in p.datagrams)]
        other = replace(made_[index], **changes)  # type: ignore[arg-type]
        return [*given[:index], *encode(other), *given[index + 1 :]]

    return apply


def _foreign() -> list[bytes]:
    """What a guest sends of its own accord, and what the host does: a request by ARP, an echo of the host."""
    guest, host = made.GUEST_MAC, bytes.fromhex("02000000d001")
    arp = b"\xff" * 6 + guest + b"\x08\x06" + bytes.fromhex("0001080006040001") + guest
    arp += bytes([192, 0, 2, 10, *bytes(6), 192, 0, 2, 1])
    single = frames("sends")[SINGLE]
    return [arp, guest + host + single[12:]]


def _stranger(data: bytes) -> bytes:
    """The frame from a MAC that nobody knows, to another port."""
    changed = bytearray(data)
    changed[6:12] = b"\x02\x77\x77\x77\x77\x77"
    changed[36:38] = b"\x11\x11"
    changed[40:42] = b"\0\0"
    return bytes(changed)


ALTERED, MISSING, DUPLICATED, REORDERED = Verdict.ALTERED, Verdict.MISSING, Verdict.DUPLICATED, Verdict.REORDERED
UNEXPECTED, OFFLOAD = Verdict.UNEXPECTED, Verdict.OFFLOAD
_ONE = {"altered": 1, "missing": 0}
_S, _P, _E, _F6 = SINGLE, BIG, EMPTY, SIX
_FRAGMENT = 14 + 20


def _odd(given: Frames) -> Frames:
    """Shorten the middle fragment by three bytes, its lengths right."""
    data = bytearray(given[_P + 1][:-3])
    put(16, (len(data) - 14).to_bytes(2, "big"))(data)
    return [*given[: _P + 1], bytes(data), *given[_P + 2 :]]


def _overlap(given: Frames) -> Frames:
    """Let the second fragment begin 8 bytes too early."""
    data = bytearray(given[_P + 1])
    word = struct.unpack_from(">H", data, 20)[0]
    put(20, struct.pack(">H", word - 1))(data)
    return [*given[: _P + 1], bytes(data), *given[_P + 2 :]]


def _shorter(given: Frames) -> Frames:
    """Cut the last byte of the payload, every length and the checksum right."""
    return _remade("sends", _S, payload=frames("sends")[_S][42:-1])(given)


_FIRST_CASE: tuple[tuple[str, Change, Verdict, str, dict[str, int]], ...] = (
    ("drop", drop(_S), MISSING, "datagram", {"missing": 1, "matched": 308}),
    ("drop-empty", drop(_E), MISSING, "datagram", {"missing": 1}),
    ("duplicate", again(_S), DUPLICATED, "datagram", {"duplicated": 1, "matched": 309}),
    ("duplicate-late", again(_S, 2), DUPLICATED, "datagram", {"duplicated": 1}),
    ("swap", swap(1, 2), REORDERED, "order", {"reordered": 1}),
    ("bit-eth-destination", at(_S, flip(1)), ALTERED, "eth.destination", _ONE),
    ("bit-eth-source", at(_S, flip(11, 3)), ALTERED, "eth.source", _ONE),
    ("bit-eth-type", at(_S, flip(12, 1)), ALTERED, "eth.type", _ONE),
    ("bit-ip-version", at(_S, flip(14, 5)), ALTERED, "ip.version_ihl", _ONE),
    ("bit-ip-header-length", at(_S, flip(14, 1)), ALTERED, "ip.version_ihl", _ONE),
    ("bit-ip-tos", at(_S, flip(15, 2)), ALTERED, "ip.tos", _ONE),
    ("bit-ip-length", at(_S, flip(17, 3)), ALTERED, "ip.length", _ONE),
    ("bit-ip-id", at(_S, flip(19, 6)), ALTERED, "ip.header_checksum", _ONE),
    ("bit-ip-reserved", at(_S, flip(20, 7)), ALTERED, "ip.reserved_flag", _ONE),
    ("bit-ip-df", at(_S, flip(20, 6)), ALTERED, "ip.dont_fragment", _ONE),
    ("bit-ip-mf", at(_S, flip(20, 5)), ALTERED, "ip.dont_fragment", _ONE),
    ("bit-ip-offset", at(_S, flip(21, 0)), ALTERED, "ip.dont_fragment", _ONE),
    ("bit-ip-ttl", at(_S, flip(22, 1)), ALTERED, "ip.ttl", _ONE),
    ("bit-ip-protocol", at(_S, flip(23, 1)), ALTERED, "ip.protocol", _ONE),
    ("bit-ip-checksum", at(_S, flip(25, 0)), ALTERED, "ip.header_checksum", _ONE),
    ("bit-ip-source", at(_S, flip(29, 0)), ALTERED, "ip.source", _ONE),
    ("bit-ip-destination", at(_S, flip(33, 1)), ALTERED, "ip.destination", _ONE),
    ("bit-udp-source", at(_S, flip(35, 2)), ALTERED, "udp.source_port", _ONE),
    ("bit-udp-destination", at(_S, flip(37, 2)), ALTERED, "udp.destination_port", _ONE),
    ("bit-udp-length", at(_S, flip(39, 1)), ALTERED, "udp.length", _ONE),
    ("bit-udp-checksum", at(_S, flip(41, 4)), ALTERED, "udp.checksum", _ONE),
    ("bit-payload-first", at(_S, flip(42)), ALTERED, "udp.payload", _ONE),
    ("bit-payload-last", at(_S, flip(81, 7)), ALTERED, "udp.payload", _ONE),
    ("wrong-ttl", at(_S, put(22, b"\x3f")), ALTERED, "ip.ttl", _ONE),
    ("wrong-tos", at(_S, put(15, b"\xb8")), ALTERED, "ip.tos", _ONE),
    ("wrong-mac", at(_S, put(0, b"\x02\0\0\0\xd0\x02")), ALTERED, "eth.destination", _ONE),
    ("wrong-source-mac", at(_S, put(6, b"\x52\x54\0\xc0\0\x01")), ALTERED, "eth.source", _ONE),
    ("port-bytes-swapped", at(_S, put(36, b"\x28\x23")), ALTERED, "udp.destination_port", _ONE),
    ("bad-checksum", at(_S, put(40, b"\xde\xad")), ALTERED, "udp.checksum", _ONE),
    ("no-checksum", at(_S, put(40, b"\0\0")), ALTERED, "udp.checksum", _ONE),
    ("shorter-payload", _shorter, ALTERED, "udp.payload", _ONE),
    ("other-payload", _remade("sends", _S, payload=bytes(40)), ALTERED, "udp.payload", _ONE),
    ("padding-with-bytes", at(_S, lambda data: data.extend(b"\0secret")), ALTERED, "eth.trailer", _ONE),
    ("empty-with-padding", at(_E, lambda data: data.extend(bytes(18))), ALTERED, "eth.trailer", _ONE),
    ("vlan", tag(_S, 5), ALTERED, "eth.vlan", _ONE),
    ("vlan-twice", tag(_S, 5, 6), ALTERED, "eth.vlan", _ONE),
    ("fragment-first-missing", drop(_P), ALTERED, "ip.fragments", _ONE),
    ("fragment-middle-missing", drop(_P + 1), ALTERED, "ip.fragments", _ONE),
    ("fragment-last-missing", drop(_P + 2), ALTERED, "ip.fragments", _ONE),
    ("fragment-twice", again(_P + 1), DUPLICATED, "ip.fragment_repeated", {}),
    ("fragment-overlap", _overlap, ALTERED, "ip.fragment_overlap", _ONE),
    ("fragment-size", _odd, ALTERED, "ip.fragment_size", _ONE),
    ("fragment-df", at(_P, put(20, b"\x60\0")), ALTERED, "ip.dont_fragment", _ONE),
    ("fragment-ttl", at(_P + 1, put(22, b"\x05")), ALTERED, "ip.fragments.ttl", _ONE),
    ("fragment-payload", at(_P + 1, flip(700)), ALTERED, "udp.payload", _ONE),
    ("fragment-id", at(_P + 2, put(18, b"\x77\x77")), ALTERED, "ip.fragments", {}),
    ("stranger", insert(3, _stranger(frames("sends")[_S])), UNEXPECTED, "datagram", {"unexpected": 1}),
)  # fmt: skip

_SECOND_CASE: tuple[tuple[str, Change, Verdict, str, dict[str, int]], ...] = (
    ("six-version", at(_F6, flip(14, 4)), ALTERED, "ip.version", _ONE),
    ("six-traffic-class", at(_F6, flip(15, 5)), ALTERED, "ip.tos", _ONE),
    ("six-length", at(_F6, flip(19, 2)), ALTERED, "udp.length", _ONE),
    ("six-next-header", at(_F6, flip(20, 1)), ALTERED, "ip.protocol", _ONE),
    ("six-hop-limit", at(_F6, flip(21, 0)), ALTERED, "ip.ttl", _ONE),
    ("six-source", at(_F6, flip(37, 0)), ALTERED, "ip.source", _ONE),
    ("six-destination", at(_F6, flip(53, 0)), ALTERED, "ip.destination", _ONE),
    ("six-port", at(_F6, flip(57, 1)), ALTERED, "udp.destination_port", _ONE),
    ("six-no-checksum", at(_F6, put(60, b"\0\0")), ALTERED, "udp.checksum", _ONE),
    ("six-payload", at(_F6, flip(70)), ALTERED, "udp.payload", _ONE),
    ("six-fragment-missing", drop(BIG_SIX), ALTERED, "ip.fragments", _ONE),
    ("six-fragment-twice", again(BIG_SIX), DUPLICATED, "ip.fragment_repeated", {}),
    ("burst-drop", drop(FIRST + 100), MISSING, "datagram", {"missing": 1, "matched": 308}),
    ("burst-drop-many", drop(*range(FIRST + 50, FIRST + 90)), MISSING, "datagram", {"missing": 40}),
    ("burst-drop-first", drop(FIRST), MISSING, "datagram", {"missing": 1}),
    ("burst-duplicate", again(FIRST + 100), DUPLICATED, "datagram", {"duplicated": 1, "matched": 309}),
    ("burst-duplicate-late", again(FIRST + 10, 200), DUPLICATED, "datagram", {"duplicated": 1}),
    ("burst-swap", swap(FIRST + 20, FIRST + 21), REORDERED, "order", {"reordered": 1}),
    ("burst-bit-payload", at(FIRST + 30, flip(90)), ALTERED, "udp.payload", _ONE),
    ("burst-bit-sequence", at(FIRST + 30, flip(42, 1)), ALTERED, "udp.payload", _ONE),
    ("burst-bit-ttl", at(FIRST + 30, flip(22)), ALTERED, "ip.ttl", _ONE),
    ("burst-bit-id", at(FIRST + 30, flip(18)), ALTERED, "ip.header_checksum", _ONE),
    ("burst-bit-checksum", at(FIRST + 30, flip(40)), ALTERED, "udp.checksum", _ONE),
    ("burst-bit-port", at(FIRST + 30, flip(37)), ALTERED, "udp.destination_port", _ONE),
    ("burst-vlan", tag(FIRST + 30, 9), ALTERED, "eth.vlan", _ONE),
    ("burst-first-wrong-port", at(FIRST, put(34, b"\x11\x11")), ALTERED, "udp.source_port", _ONE),
)  # fmt: skip

_HARMLESS: tuple[tuple[str, int, Change], ...] = (
    ("good", 0, lambda given: given),
    ("foreign-traffic", 0, insert(2, *_foreign())),
    ("fragments-in-another-order", 0, swap(BIG, BIG + 2)),
    ("six-flow-label", 1, at(_F6, flip(17))),
)


def corpus() -> Iterator[Damaged]:
    """Every file with its verdict."""
    first, second = frames("sends"), frames("more")
    for name, change, verdict, field_, counts in _FIRST_CASE:
        yield Damaged(name, made.pcapng(story(change(first), second)), FAILED, verdict, field_, counts)
    for name, change, verdict, field_, counts in _SECOND_CASE:
        yield Damaged(name, made.pcapng(story(first, change(second))), FAILED, verdict, field_, counts)
    for name, which, change in _HARMLESS:
        both = (change(first), second) if which == 0 else (first, change(second))
        yield Damaged(name, made.pcapng(story(*both)), PASSED)
    yield from _partial(first, second)
    yield from _containers(first, second)
    yield from _doubtful(first, second)
    yield from _unmarked(first, second)


def _partial(first: Frames, second: Frames) -> Iterator[Damaged]:
    """Checksums left to the hardware, once and everywhere."""
    one = _remade("sends", SINGLE, checksum=ChecksumField.PARTIAL)
    counts = {"offload": 1, "matched": 309}
    content = made.pcapng(story(one(first), second))
    yield Damaged("partial-checksum", content, INCONCLUSIVE, OFFLOAD, "udp.checksum", counts)
    steps = [step for step in STEPS if step.case == "more"]
    template = next(item.burst for item in predict(steps, SITE) if item.burst is not None)
    partial = [
        replace(packet(template.template, SITE, template.payload(n), n + 1), checksum=ChecksumField.PARTIAL)
        for n in range(BURST)
    ]
    content = made.pcapng(story(first, [*second[:FIRST], *raw(partial)]))
    yield Damaged("burst-partial", content, INCONCLUSIVE, OFFLOAD, "udp.checksum", {"offload": BURST, "matched": 309})


def _containers(first: Frames, second: Frames) -> Iterator[Damaged]:
    """The same good frames in every kind of file; none of them may give a finding."""
    good = story(first, second)
    plain = made.pcapng(good)
    yield Damaged("pcap-big-endian", made.pcap(good, ">"), PASSED)
    yield Damaged("pcap-little-endian", made.pcap(good, "<"), PASSED)
    yield Damaged("pcap-nanoseconds", made.pcap(good, "<", nano=True), PASSED)
    yield Damaged("pcap-big-endian-nanoseconds", made.pcap(good, ">", nano=True), PASSED)
    yield Damaged("pcapng-big-endian", made.pcapng(good, ">"), PASSED)
    yield Damaged("pcapng-simple-packets", made.pcapng(good, spb=True), PASSED)
    yield Damaged("pcapng-microseconds", made.pcapng(good, interfaces=[made.interface(resolution=None)]), PASSED)
    yield Damaged("pcapng-comments", made.pcapng([replace(item, comment="seen") for item in good]), PASSED)
    yield Damaged("gzip", gzip.compress(plain), PASSED)
    yield Damaged("bzip2-of-pcap", bz2.compress(made.pcap(good)), PASSED, choice=Choice())
    yield Damaged("xz-of-pcap", lzma.compress(made.pcap(good)), PASSED)
    for name, link in (("cooked", made.COOKED), ("cooked-2", made.COOKED2)):
        yield Damaged(name, made.pcap([made.cooked(item, link) for item in good], link=link), PASSED)
    other = [replace(Record(data), interface=1) for data in _foreign()[1:]]
    mixed = [*good[:3], *other, *good[3:]]
    both = [made.interface(), made.interface(name="eth1")]
    yield Damaged("two-interfaces", made.pcapng(mixed, interfaces=both), PASSED)
    twice = [copy for item in good for copy in (item, replace(item, interface=1))]
    chosen = Choice(interface="dut0")
    yield Damaged("two-interfaces-chosen", made.pcapng(twice, interfaces=both), PASSED, choice=chosen)
    trunk = [made.tagged(item, 7) if item.data[6:12] == made.GUEST_MAC else item for item in good]
    yield Damaged("vlan-chosen", made.pcapng([*trunk[:4], *trunk[4:]]), PASSED, choice=Choice(vlan=7))


def _doubtful(first: Frames, second: Frames) -> Iterator[Damaged]:
    """Captures that cannot be trusted: inconclusive, whatever else."""
    good = story(first, second)
    plain = made.pcapng(good)

    def doubt(name: str, content: bytes, reason: str) -> Damaged:
        return Damaged(name, content, INCONCLUSIVE, reason=reason)

    yield doubt("lost-frames", made.pcapng(good, dropped=3), "lost 3 frames")
    yield Damaged("no-statistics", made.pcapng(good, dropped=None), PASSED)
    yield doubt("truncated-last-packet", made.pcapng(good, dropped=None)[:-30], "nobody could say")
    yield doubt("truncated-in-a-case", plain[: len(plain) // 2], "nobody could say")
    yield Damaged("copied", made.pcapng(story(drop(SINGLE)(first), second), dropped=None), FAILED, MISSING, "datagram")
    yield doubt("late-start", made.pcapng(good[5:]), "start marker")
    yield doubt("early-end", made.pcapng(good[:-2]), "end marker")
    yield doubt("two-runs", made.pcapng([*good, Record(marker(0, Edge.LIVE, 1, run=RUN[::-1]))]), "markers of 2 runs")
    cut = [Record(item.data[:64], len(item.data)) for item in good]
    yield doubt("snap-length", made.pcapng(cut), "cut by the snap length")
    lying = bytearray(plain)
    lying[len(plain) // 2 // 4 * 4 :] = b"\xff" * (len(plain) - len(plain) // 2 // 4 * 4)
    yield doubt("lying-length", bytes(lying), "nobody could say")
    twice = [copy for item in good for copy in (item, replace(item, interface=1))]
    both = [made.interface(), made.interface(name="tap0")]
    bare = [item for item in twice if item.data[12:14] != b"\x88\xb5"]
    yield doubt("seen-twice", made.pcapng(bare, interfaces=both), "several interfaces")
    raw_ip = [Record(data[14:]) for data in (*first, *second)]
    yield doubt("raw-ip", made.pcap(raw_ip, link=made.RAW), "raw IP")
    yield doubt("gzip-truncated", gzip.compress(plain)[:-3000], "nobody could say")


def _unmarked(first: Frames, second: Frames) -> Iterator[Damaged]:
    """Captures by other tools, without our markers."""
    good = story(first, second, marked=False)
    yield Damaged("unmarked", made.pcap(good), PASSED)
    yield Damaged("unmarked-pcapng", made.pcapng(good, dropped=None), PASSED)
    missing = story(drop(SINGLE)(first), second, marked=False)
    yield Damaged("unmarked-drop", made.pcap(missing), FAILED, MISSING, "datagram", {"missing": 1})
    burst = story(first, drop(FIRST + 5)(second), marked=False)
    yield Damaged("unmarked-burst-drop", made.pcap(burst), FAILED, MISSING, "datagram", {"missing": 1})
    late = made.pcap(good[3:])
    yield Damaged("unmarked-late-start", late, FAILED, MISSING, "datagram", {"missing": 3, "matched": 306})
    cut = made.pcap(good)[:-10]
    yield Damaged("unmarked-truncated", cut, INCONCLUSIVE, reason="in the middle of a record")
    yield Damaged("unmarked-empty", made.pcap([]), INCONCLUSIVE, reason="no frame at all")
    host = [Record(_foreign()[1])]
    yield Damaged("unmarked-host-only", made.pcap(host), INCONCLUSIVE, reason="of the host only")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    write_plan(folder / "operations.jsonl")
    for item in corpus():
        (folder / item.name).write_bytes(item.content)
        print(f"{item.name}: {item.status.value} {item.verdict or ''} {item.field}")
