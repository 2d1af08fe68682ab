"""The blocks of a pcapng file (draft-ietf-opsawg-pcapng), cut into batches of frames with Wireshark's frame numbers.

Blocks that are neither packets nor about interfaces are skipped; some of them have a frame number all the same (see
``blocktypes``). What Wireshark does not read past ends the reading here, too: a length that lies, a section of an
unknown version, an option that reaches past its block, an interface that nobody described.
"""

from __future__ import annotations

import struct
from collections import Counter

import numpy as np

from harness.capture import blocktypes, fcs
from harness.capture.batches import Batch, Bytes, Interface, Pending, run_length
from harness.capture.blocktypes import DSB, EPB, IDB, ISB, NRB, PACKETS, PB, SHB, SPB
from harness.capture.options import (
    EPB_DROPCOUNT,
    EPB_FLAGS,
    IF_FCSLEN,
    IF_NAME,
    IF_TSOFFSET,
    IF_TSRESOL,
    ISB_IFDROP,
    ISB_OSDROP,
    Damaged,
    number,
    options,
)
from harness.capture.pcap_header import MAX_FRAME

MAX_BLOCK = 32 + (128 << 20) + (128 << 10)
"""Bytes of the longest block that is believed: Wireshark's limit."""

_MAX_INTERFACES = 4096
_BYTE_ORDER_MAGIC = 0x1A2B3C4D
_DIRECTION = (0, 1, 2, 0)  # by the two bits of epb_flags; 3 is not defined
_FLAGS_ALONE = 12  # bytes of the options of a packet that has its flags and no other
_MANY = 4096
_RUN = 16
_CHECKED = frozenset({NRB, DSB, *blocktypes.NUMBERED})


class Blocks:
    """Cuts the bytes of a pcapng file into batches."""

    format = "pcapng"
    start = 0

    def __init__(self) -> None:
        self.interfaces: list[Interface] = []
        self.count = 0
        self.others: Counter[str] = Counter()
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
            if _rounded(self._word.unpack_from(view, at + length - 4)[0]) != length:
                self._wrong(f"says {length} bytes at its start and something else at its end")
                break
            alike = kind == EPB and self._alike(view, at, end, length)
            if pending and (alike or kind not in PACKETS):
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
        if not blocktypes.SHORTEST.get(kind, 12) <= length <= MAX_BLOCK:
            self._wrong(f"says that it is {length} bytes long")
        self.need = _rounded(length)
        return kind, self.need

    def _alike(self, view: memoryview, at: int, end: int, length: int) -> bool:
        """Whether it looks as if a run of blocks of one size began here."""
        self._patience -= self._patience > 0
        if self._patience or end - at < _RUN * length:
            return False
        wanted = (EPB, length)
        near = self._head.unpack_from(view, at + length)
        return bool(near == wanted) and bool(self._head.unpack_from(view, at + (_RUN - 1) * length) == wanted)

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
            flagged = struct.unpack_from(self._order + "HH", view, at + after) == (EPB_FLAGS, 4) and end == 0
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
        interface = self._table[number]
        captured, original, check = fcs.without(fcs.of_packet(interface.fcs, flags), interface.link, captured, original)
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
            np.broadcast_to(np.int64(check), run),
            length,
        )
        self.count += run
        self._table[number].frames += run
        return batch

    def _packet(self, kind: int, view: memoryview, at: int, length: int, pending: Pending) -> None:
        fixed = 16 if kind == SPB else 32
        number_of, time, drops = 0, 0, 0
        if kind == SPB:
            (original,) = self._word.unpack_from(view, at + 8)
            snap = self._table[0].snap if self._table else 0
            captured = min(original, snap) if snap else original
        else:
            number_of, high, low, captured, original = self._enhanced.unpack_from(view, at + 8)
            time = high << 32 | low
            if kind == PB:
                number_of, drops = struct.unpack_from(self._order + "HH", view, at + 8)
                drops = 0 if drops == 0xFFFF else drops
        if number_of >= len(self._table):
            return self._wrong(f"names interface {number_of}, which the file does not describe")
        if captured > length - fixed or captured > MAX_FRAME:
            return self._wrong(f"says that it holds a frame of {captured} bytes")
        if kind == SPB and length != fixed + captured + -captured % 4:
            return self._wrong(f"holds more than its frame of {captured} bytes")
        interface = self._table[number_of]
        check, direction = interface.fcs, 0
        after = fixed - 4 + captured + -captured % 4
        if kind != SPB and length > after + 4:
            said = options(self._order, bytes(view[at + after : at + length - 4]), of_packet=True)
            drops += number(self._order, said.get(EPB_DROPCOUNT, b""))
            if EPB_FLAGS in said:
                (flags,) = self._word.unpack(said[EPB_FLAGS])
                check, direction = fcs.of_packet(interface.fcs, flags), _DIRECTION[flags & 3]
        self._lost += drops
        interface.frames += 1
        pending.add(at + fixed - 4, captured, original, number_of, time, direction, check)
        return None

    def _block(self, kind: int, view: memoryview, at: int, length: int, pending: Pending) -> None:
        try:
            if kind in PACKETS:
                return self._packet(kind, view, at, length, pending)
            if kind == SHB:
                return self._section(bytes(view[at + 12 : at + length - 4]))
            if kind == IDB:
                return self._describe(bytes(view[at + 8 : at + length - 4]))
            if kind == ISB:
                return self._statistics(bytes(view[at + 8 : at + length - 4]))
            if kind in _CHECKED:
                blocktypes.check(kind, self._order, bytes(view[at + 8 : at + length - 4]))
        except Damaged as error:
            return self._wrong(str(error))
        if kind in blocktypes.NUMBERED:
            self.count += 1
            self.others[blocktypes.NUMBERED[kind]] += 1
        return None

    def _section(self, body: bytes) -> None:
        """A section begins; ``body`` is what follows the byte-order magic."""
        version = struct.unpack_from(self._order + "HH", body)
        if version not in blocktypes.VERSIONS:
            return self._wrong("begins a section of the unknown version {}.{}".format(*version))
        options(self._order, body[12:])
        self._table = []
        return None

    def _describe(self, body: bytes) -> None:
        """An interface is described."""
        if len(self.interfaces) >= _MAX_INTERFACES:
            return self._wrong(f"describes an interface after {len(self.interfaces)} others")
        interface = self._interface(body)
        self._table.append(interface)
        self.interfaces.append(interface)
        return None

    def _statistics(self, body: bytes) -> None:
        """An interface's statistics; what an interface lost that nobody described is lost all the same."""
        number_of = self._word.unpack_from(body)[0]
        said = options(self._order, body[12:])
        drops = [number(self._order, said[code]) for code in (ISB_IFDROP, ISB_OSDROP) if code in said]
        if number_of >= len(self._table):
            self._lost += sum(drops)
        elif drops:
            self._table[number_of].dropped = sum(drops)

    def _interface(self, body: bytes) -> Interface:
        link, _, snap = struct.unpack_from(self._order + "HHI", body)
        said = options(self._order, body[8:])
        # if_tsresol: bit 7 set means a power of two, clear a power of ten; microseconds when absent.
        resolution = said.get(IF_TSRESOL, b"")
        exponent = resolution[0] if len(resolution) == 1 else 6
        units = 1 << (exponent & 0x7F) if exponent & 0x80 else 10**exponent
        offset = said.get(IF_TSOFFSET, b"")
        seconds = struct.unpack(self._order + "q", offset)[0] if len(offset) == 8 else 0
        name = said.get(IF_NAME, b"").rstrip(b"\0").decode(errors="replace")
        name = "".join(c if c.isprintable() else "?" for c in name[:64])
        return Interface(name, link, snap, units, seconds, fcs=fcs.of_option(said.get(IF_FCSLEN, b"")))


def _rounded(length: int) -> int:
    """A block's length with its padding: some programs write it without."""
    return length + -length % 4
