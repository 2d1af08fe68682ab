"""The blocks of a pcapng file (draft-ietf-opsawg-pcapng): SHB, IDB, EPB, SPB, ISB and the old packet block.

Other blocks are skipped. A block whose length lies, or that names an interface nobody described, ends the reading.
"""

from __future__ import annotations

import struct

import numpy as np

from harness.capture.batches import Batch, Bytes, Interface, Pending, run_length
from harness.capture.records import MAX_FRAME

SHB, IDB, PB, SPB, ISB, EPB = 0x0A0D0D0A, 1, 2, 3, 5, 6
_MAX_BLOCK = 64 << 20
_MAX_INTERFACES = 4096
_BYTE_ORDER_MAGIC = 0x1A2B3C4D
_EPB_FLAGS = 2
_DIRECTION = (0, 1, 2, 0)  # by the two bits of epb_flags; 3 is not defined
_IF_NAME, _IF_TSRESOL, _IF_TSOFFSET = 2, 9, 14
_ISB_IFDROP, _ISB_OSDROP, _EPB_DROPCOUNT = 5, 7, 4
_FLAGS_ALONE = 12  # bytes of the options of a packet that has its flags and no other
_MANY = 4096
_RUN = 16


class Blocks:
    """Cuts the bytes of a pcapng file into batches."""

    format = "pcapng"
    start = 0

    def __init__(self) -> None:
        self.interfaces: list[Interface] = []
        self.count = 0
        self.damage = ""
        self.need = 12
        self._table: list[Interface] = []
        self._lost: int = 0
        self._patience = 0  # blocks to read one by one before a run is tried again
        self._set_order("<")

    @property
    def dropped(self) -> int | None:
        """Frames lost by the interfaces' statistics and the packets' drop counts; ``None`` when nothing says."""
        known = [item.dropped for item in self.interfaces if item.dropped is not None]
        return sum(known) + self._lost if known or self._lost else None

    def next(self, data: Bytes, at: int, end: int) -> tuple[Batch | None, int]:
        """The next batch between ``at`` and ``end`` and where it ends; no batch when bytes are missing."""
        view = data.data
        pending = Pending()
        while end - at >= 12 and not self.damage and len(pending) < _MANY:
            kind, length = self._begin(view, at)
            if self.damage or at + length > end:
                break
            if self._word.unpack_from(view, at + length - 4)[0] != length:
                self._wrong(f"says {length} bytes at its start and something else at its end")
                break
            alike = kind == EPB and self._alike(view, at, end, length)
            if pending and (alike or kind not in (EPB, PB, SPB)):
                break  # a run is a batch of its own; other blocks change how packets are read
            batch = self._run(data, view, at, end, length) if alike else None
            if batch is not None:
                return batch, at + len(batch) * length
            self._block(kind, view, at, length, pending)
            at += length
        if not pending:
            return None, at
        batch = pending.take(data, self.count + 1, self._table)
        self.count += len(batch)
        return batch, at

    def _set_order(self, order: str) -> None:
        self._order = order
        self._word = struct.Struct(order + "I")
        self._head = struct.Struct(order + "II")
        self._enhanced = struct.Struct(order + "IIIII")
        self._column = np.dtype(order + "u4")

    def _wrong(self, what: str) -> None:
        self.damage = f"the block after frame {self.count} {what}"

    def _begin(self, view: memoryview, at: int) -> tuple[int, int]:
        """Type and length of the block at ``at``; sets ``need``, or ``damage`` when the length cannot be."""
        if bytes(view[at : at + 4]) == b"\x0a\x0d\x0d\x0a":
            for order in "<>":
                if struct.unpack_from(order + "I", view, at + 8)[0] == _BYTE_ORDER_MAGIC:
                    self._set_order(order)
                    break
            else:
                self._wrong("begins a section without a byte-order magic")
                return SHB, 0
        kind, length = self._head.unpack_from(view, at)
        if length < 12 or length % 4 or length > _MAX_BLOCK:
            self._wrong(f"says that it is {length} bytes long")
        self.need = length
        return kind, length

    def _alike(self, view: memoryview, at: int, end: int, length: int) -> bool:
        """Whether it looks as if a run of blocks of one size began here."""
        self._patience -= self._patience > 0
        if self._patience or end - at < _RUN * length:
            return False
        wanted = (EPB, length)
        near = self._head.unpack_from(view, at + length)
        return near == wanted and self._head.unpack_from(view, at + (_RUN - 1) * length) == wanted

    def _run(self, data: Bytes, view: memoryview, at: int, end: int, length: int) -> Batch | None:
        """A batch of enhanced packets of one size and interface, if there are enough of them."""
        number, _, _, captured, original = self._enhanced.unpack_from(view, at + 8)
        rows = (end - at) // length
        after = 28 + captured + -captured % 4
        plain, flagged = length == after + 4, length == after + 4 + _FLAGS_ALONE
        places, wanted = [0, 4, 8, 20, 24], [EPB, length, number, captured, original]
        flags = 0
        if flagged:
            option, flags, end = struct.unpack_from(self._order + "III", view, at + after)
            places, wanted = [*places, after, after + 4, after + 8], [*wanted, option, flags, end]
            flagged = struct.unpack_from(self._order + "HH", view, at + after) == (_EPB_FLAGS, 4) and end == 0
        columns = [np.ndarray((rows,), self._column, data, at + place, (length,)) for place in places]
        trailer = np.ndarray((rows,), self._column, data, at + length - 4, (length,))
        same = [column == value for column, value in zip(columns, wanted, strict=True)]
        run = run_length([*same, trailer == length]) if (plain or flagged) and captured <= MAX_FRAME else 0
        if run < _RUN or number >= len(self._table):
            self._patience = 4 * _RUN
            return None
        high, low = (
            np.ndarray((run,), self._column, data, at + place, (length,)).astype(np.uint64) for place in (12, 16)
        )
        batch = Batch(
            data,
            self.count + 1,
            np.arange(at + 28, at + 28 + run * length, length, dtype=np.int64),
            np.broadcast_to(np.int64(captured), run),
            np.broadcast_to(np.int64(original), run),
            np.broadcast_to(np.int64(number), run),
            high << np.uint64(32) | low,
            self._table,
            np.broadcast_to(np.uint8(_DIRECTION[flags & 3]), run),
            length,
        )
        self.count += run
        self._table[number].frames += run
        return batch

    def _packet(self, kind: int, view: memoryview, at: int, length: int, pending: Pending) -> None:
        fixed = 16 if kind == SPB else 32
        number, time, drops = 0, 0, 0
        if length < fixed:
            return self._wrong(f"is a packet of {length} bytes")
        if kind == SPB:
            (original,) = self._word.unpack_from(view, at + 8)
            snap = self._table[0].snap if self._table else 0
            captured = min(original, snap) if snap else original
        else:
            number, high, low, captured, original = self._enhanced.unpack_from(view, at + 8)
            time = high << 32 | low
            if kind == PB:
                number, drops = struct.unpack_from(self._order + "HH", view, at + 8)
                drops = 0 if drops == 0xFFFF else drops
        if number >= len(self._table):
            return self._wrong(f"names interface {number}, which the file does not describe")
        if captured > length - fixed or captured > MAX_FRAME:
            return self._wrong(f"says that it holds a frame of {captured} bytes")
        after, direction = fixed - 4 + captured + -captured % 4, 0
        if kind == EPB and length > after + 4:
            options = self._options(bytes(view[at + after : at + length - 4]))
            drops = self._number(options.get(_EPB_DROPCOUNT, b""))
            flags = options.get(_EPB_FLAGS, b"")
            direction = _DIRECTION[self._word.unpack(flags)[0] & 3] if len(flags) == 4 else 0
        self._lost += drops
        self._table[number].frames += 1
        pending.add(at + fixed - 4, captured, original, number, time, direction)
        return None

    def _block(self, kind: int, view: memoryview, at: int, length: int, pending: Pending) -> None:
        if kind in (EPB, PB, SPB):
            return self._packet(kind, view, at, length, pending)
        if kind == SHB:
            self._table = []
        body = bytes(view[at + 8 : at + length - 4]) if kind in (IDB, ISB) else b""
        if kind == IDB:
            if len(body) < 8 or len(self.interfaces) >= _MAX_INTERFACES:
                return self._wrong(f"describes an interface in {len(body)} bytes, after {len(self.interfaces)} others")
            interface = self._interface(body)
            self._table.append(interface)
            self.interfaces.append(interface)
        elif kind == ISB:
            number = self._word.unpack_from(body)[0] if len(body) >= 12 else len(self._table)
            if number >= len(self._table):
                return self._wrong(f"counts for interface {number}, which the file does not describe")
            options = self._options(body[12:])
            drops = [options[code] for code in (_ISB_IFDROP, _ISB_OSDROP) if code in options]
            if drops:
                self._table[number].dropped = sum(map(self._number, drops))
        return None

    def _interface(self, body: bytes) -> Interface:
        link, _, snap = struct.unpack_from(self._order + "HHI", body)
        options = self._options(body[8:])
        # if_tsresol: bit 7 set means a power of two, clear a power of ten; microseconds when absent.
        resolution = (options.get(_IF_TSRESOL) or b"\x06")[0]
        units = 1 << (resolution & 0x7F) if resolution & 0x80 else 10**resolution
        offset = options.get(_IF_TSOFFSET, b"")
        seconds = struct.unpack(self._order + "q", offset)[0] if len(offset) == 8 else 0
        name = options.get(_IF_NAME, b"").rstrip(b"\0").decode(errors="replace")
        return Interface("".join(c if c.isprintable() else "?" for c in name[:64]), link, snap, units, seconds)

    def _number(self, value: bytes) -> int:
        return int(struct.unpack(self._order + "Q", value)[0]) if len(value) == 8 else 0

    def _options(self, body: bytes) -> dict[int, bytes]:
        options: dict[int, bytes] = {}
        at = 0
        while at + 4 <= len(body):
            code, length = struct.unpack_from(self._order + "HH", body, at)
            if code == 0:
                break
            options.setdefault(code, body[at + 4 : at + 4 + length])
            at += 4 + (length + 3) // 4 * 4
        return options
