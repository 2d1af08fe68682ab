"""What the frames of one burst look like byte by byte, and numpy's comparison of a table of frames with it.

The header is compared in words of eight bytes under a mask, the payload with the bytes that the frame's own sequence
number asks for. Checksums follow from the bytes that are known to be equal: only the fields that are free are added up.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.capture.batches import Flags
from harness.model.checksum import partial_checksum, pseudo_header
from harness.model.datagram import ChecksumRule, ExpectedBurst
from harness.verify.columns import Rows
from harness.verify.compare import Form

_LONG = 96  # from this many bytes on, whole payloads are compared instead of words
_MOD = 0xFFFF

Words = NDArray[np.uint64]


@dataclass(slots=True)
class Pattern:
    """The frames of a burst of one width, from one source address and port.

    Args:
        width: bytes of a frame.
        header: Ethernet, IP and UDP header; bytes that are free hold zeros.
        mask: 0xFF for each byte of the header that must be equal, 0 for a free one, or single bits.
        size: bytes of payload.
        first, count: sequence numbers.
        form: the form of the datagram that this is the pattern of.
        free_words: where the 16-bit words of the IPv4 header lie whose value is free, its checksum included.
        known_sum: sum of the other words of the IPv4 header.
        udp_sum: sum of everything known in the pseudo-header, the UDP header and no payload, little-endian words.
        partial: what a partial checksum would be, as a little-endian word.
        no_checksum: the checksum field must be zero.
        check_trailer: what follows the payload must be zeros.
        watched: some free field is to be observed.
        consecutive: whether the last table compared held consecutive sequence numbers.
    """

    width: int
    header: bytes
    mask: bytes
    size: int
    first: int
    count: int
    form: Form
    free_words: tuple[int, ...]
    known_sum: int
    udp_sum: int
    partial: int
    no_checksum: bool
    check_trailer: bool
    watched: bool
    consecutive: bool = False
    _pieces: list[tuple[int, str, np.unsignedinteger, np.unsignedinteger]] = field(default_factory=list)
    _whole: NDArray[np.void] | None = None

    @classmethod
    def of(cls, burst: ExpectedBurst, form: Form, source: bytes, port: int, width: int) -> Pattern | None:
        """The pattern of a burst's frames; ``None`` when frames of this width cannot be its. Port 0 is any."""
        template, destination = form.expected, form.destination
        free = template.free
        if len(source) != len(destination):
            return None
        length = 8 + burst.size
        ethernet = template.destination_mac + template.source_mac
        udp = port.to_bytes(2, "big") + template.destination.port.to_bytes(2, "big") + length.to_bytes(2, "big")
        any_port = b"\xff\xff" if port else b"\x00\x00"
        if len(source) == 4:
            flags = 0x40 if template.dont_fragment else 0
            head = b"\x08\x00\x45" + bytes([template.tos]) + (20 + length).to_bytes(2, "big") + bytes(2)
            head += bytes([flags, 0, template.ttl, 17, 0, 0]) + source + destination
            mask = bytes(_keep(3)) + _one("ip.tos" not in free) + b"\xff\xff\0\0"
            mask += (b"\xbf" if "ip.dont_fragment" in free else b"\xff") + b"\xff"
            mask += _one("ip.ttl" not in free) + b"\xff\0\0" + _keep(8)
        else:
            word = 6 << 28 | template.tos << 20
            head = b"\x86\xdd" + word.to_bytes(4, "big") + length.to_bytes(2, "big") + bytes([17, template.ttl])
            head += source + destination
            traffic = 0xF0000000 if "ip.tos" in free else 0xFFF00000
            mask = b"\xff\xff" + traffic.to_bytes(4, "big") + b"\xff\xff\xff" + _one("ip.ttl" not in free) + _keep(32)
        header, full = ethernet + head + udp, _keep(12) + mask + any_port + _keep(4)
        header = bytes(a & b for a, b in zip(header, full, strict=True))
        padding = width - len(header) - 2 - burst.size
        if padding < 0 or ("eth.trailer" not in free and padding != template.trailer):
            return None
        words = tuple(at for at in range(14, 34, 2) if full[at : at + 2] != b"\xff\xff") if len(source) == 4 else ()
        made = cls(
            width=width,
            header=header,
            mask=full,
            size=burst.size,
            first=burst.first,
            count=burst.count,
            form=form,
            free_words=words,
            known_sum=sum(_little(header[at : at + 2]) for at in range(14, 34, 2) if at not in words),
            udp_sum=_sum(pseudo_header(source, destination, length) + udp),
            partial=_swap(partial_checksum(source, destination, length)),
            no_checksum=template.checksum is ChecksumRule.NONE,
            check_trailer="eth.trailer" not in free and padding > 0,
            watched=bool(form.watched),
        )
        made._prepare()
        return made

    def _prepare(self) -> None:
        for at, kind, size in _cut(0, len(self.header)):
            value, mask = (int.from_bytes(text[at : at + size], "little") for text in (self.header, self.mask))
            if mask:
                word = np.dtype(kind).type
                self._pieces.append((at, kind, word(value), word(mask)))
        if self.size - 8 >= _LONG:
            start = np.arange(256)[:, None] + np.arange(8, self.size)[None, :]
            table = np.ascontiguousarray(start.astype(np.uint8))
            self._whole = table.view(np.dtype(f"V{self.size - 8}")).reshape(-1)

    @property
    def _payload(self) -> int:
        return len(self.header) + 2

    def heads(self, rows: Rows) -> Flags:
        """Which frames have this header."""
        bad = np.zeros(len(rows), dtype=np.uint64)
        for at, kind, value, mask in self._pieces:
            wrong = np.bitwise_xor(rows.column(at, kind), value)
            if int(mask) != int(np.iinfo(kind).max):
                wrong &= mask
            bad |= wrong
        return np.equal(bad, 0)

    def compare(self, rows: Rows) -> tuple[Flags, Flags | None, Words]:
        """Which frames are the burst's, which of these have a partial checksum, and the sequence numbers."""
        good = self.heads(rows)
        sequence: Words = rows.column(self._payload, "<u8").astype(np.uint64)
        place = sequence - np.uint64(self.first)
        good &= place < np.uint64(self.count)
        self.consecutive = bool((place == place[0] + np.arange(len(place), dtype=np.uint64)).all())
        tail = (sequence & np.uint64(0xFF)).astype(np.intp)
        good &= self._payload_equal(rows, tail)
        if self.free_words:
            good &= self._header_sums(rows)
        if self.check_trailer:
            for at, kind, _ in _cut(self._payload + self.size, self.width):
                good &= rows.column(at, kind) == 0
        right, partial = self._checksums(rows, sequence, tail)
        good &= right
        return good, partial, sequence

    def free_values(self, rows: Rows) -> NDArray[np.uint32]:
        """TOS, DF and TTL of each frame in one number."""
        if len(self.header) == 40:
            tos, flags, ttl = (rows.column(at, "u1").astype(np.uint32) for at in (15, 20, 22))
            values: NDArray[np.uint32] = tos | (flags & np.uint32(0x40)) << np.uint32(8) | ttl << np.uint32(16)
            return values
        word, hops = rows.column(14, ">u4").astype(np.uint32), rows.column(21, "u1").astype(np.uint32)
        values = word >> np.uint32(20) & np.uint32(0xFF) | hops << np.uint32(16)
        return values

    def _payload_equal(self, rows: Rows, tail: NDArray[np.intp]) -> Flags:
        """Whether byte j is (j + sequence) & 0xFF from byte 8 on."""
        start = self._payload + 8
        if self._whole is not None:
            same: Flags = rows.column(start, self._whole.dtype.str) == self._whole[tail]
            return same
        bad = np.zeros(len(rows), dtype=np.uint64)
        tile = _tile(len(rows)) if self.consecutive else None
        for at, kind, _ in _cut(start, start + self.size - 8):
            shift = at - start
            if tile is not None:
                begin = (int(tail[0]) + shift) & 0xFF
                wanted = tile[begin : begin + len(rows)]
            else:
                wanted = _RAMPS[(tail + shift) & 0xFF]
            bad |= np.bitwise_xor(rows.column(at, kind), wanted.astype(kind, copy=False))
        return np.equal(bad, 0)

    def _header_sums(self, rows: Rows) -> Flags:
        total = np.full(len(rows), self.known_sum, dtype=np.uint32)
        for at in self.free_words:
            total += rows.column(at, "<u2").astype(np.uint32)
        return np.equal(_folded(total), _MOD)

    def _checksums(self, rows: Rows, sequence: Words, tail: NDArray[np.intp]) -> tuple[Flags, Flags | None]:
        """Which UDP checksums are accepted, and which of them are partial (``None`` for none)."""
        field_ = rows.column(self._payload - 2, "<u2").astype(np.uint32)
        absent = field_ == 0
        if self.no_checksum:
            return absent, None
        total = (sequence >> np.uint64(32)) + (sequence & np.uint64(0xFFFFFFFF))
        words = ((total & np.uint64(_MOD)) + (total >> np.uint64(16))).astype(np.uint32)
        words += field_
        words += np.uint32(self.udp_sum)
        sums = _tail_sums(self.size)
        words += np.resize(np.roll(sums, -int(tail[0])), len(words)) if self.consecutive else sums[tail]
        good = (_folded(words) == _MOD) & ~absent
        if good.all():
            return good, None
        partial = ~good & (field_ == self.partial)
        return good | partial, partial


def _keep(count: int) -> bytes:
    return b"\xff" * count


def _one(keep: bool) -> bytes:
    return b"\xff" if keep else b"\x00"


def _cut(start: int, end: int) -> list[tuple[int, str, int]]:
    """Little-endian words that cover bytes ``start`` to ``end``: (where, numpy type, bytes)."""
    out = []
    for size, kind in ((8, "<u8"), (4, "<u4"), (2, "<u2"), (1, "u1")):
        while end - start >= size:
            out.append((start, kind, size))
            start += size
    return out


def _little(word: bytes) -> int:
    return int.from_bytes(word, "little")


def _swap(word: int) -> int:
    return (word & 0xFF) << 8 | word >> 8


def _sum(data: bytes) -> int:
    """Sum of little-endian words, folded: the big-endian one with its bytes swapped (RFC 1071 section 2)."""
    return _little(data + bytes(len(data) % 2)) % _MOD


def _folded(total: NDArray[np.uint32]) -> NDArray[np.uint32]:
    total = (total & np.uint32(_MOD)) + (total >> np.uint32(16))
    return (total & np.uint32(_MOD)) + (total >> np.uint32(16))


_RAMPS = (np.arange(256)[:, None] + np.arange(8, 16)).astype(np.uint8).view("<u8").reshape(-1)
"""For each s the eight payload bytes that follow byte 8 in a datagram whose sequence number ends in s."""

_tiles: list[Words] = [np.resize(_RAMPS, 256)]


def _tile(rows: int) -> Words:
    """``_RAMPS`` over and over, long enough for ``rows`` consecutive sequence numbers."""
    if len(_tiles[0]) < rows + 256:
        _tiles[0] = np.resize(_RAMPS, rows + 4096)
    return _tiles[0]


_sums: dict[int, NDArray[np.uint32]] = {}


def _tail_sums(size: int) -> NDArray[np.uint32]:
    """For each s the sum of the payload's words from byte 8 on when the sequence number ends in s."""
    if size not in _sums:
        table = (np.arange(256)[:, None] + np.arange(8, size + size % 2)).astype(np.uint8)
        if size % 2:
            table[:, -1] = 0
        _sums.clear()
        _sums[size] = (np.ascontiguousarray(table).view("<u2").sum(axis=1, dtype=np.uint64) % _MOD).astype(np.uint32)
    return _sums[size]
