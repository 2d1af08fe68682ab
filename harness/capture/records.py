"""The records of a pcap file (draft-ietf-opsawg-pcap) and its variants: one interface, a header before each frame."""

from __future__ import annotations

import struct

import numpy as np

from harness.capture import fcs
from harness.capture.batches import Batch, Bytes, Interface, Pending, run_length
from harness.capture.pcap_header import MAX_FRAME, Header, Lengths

_MANY = 4096
_RUN = 16


class Records:
    """Cuts the bytes of a pcap file into batches.

    Args:
        header: the file's header.
    """

    dropped: int | None = None

    def __init__(self, header: Header) -> None:
        self.interfaces = [Interface("", header.link, header.snap, header.units, fcs=header.fcs)]
        self.format = f"pcap ({header.variant})" if header.variant else "pcap"
        self.start = header.start
        self.others: dict[str, int] = {}
        self._size = header.record
        self._lengths = header.lengths
        self.count = 0
        self.damage = ""
        self.need = header.record
        self._patience = 0  # records to read one by one before a run is tried again
        self._header = struct.Struct(header.order + "IIII")
        self._word = np.dtype(header.order + "u4")

    def next(self, data: Bytes, at: int, end: int) -> tuple[Batch | None, int]:
        """The next batch between ``at`` and ``end`` and where it ends; no batch when bytes are missing."""
        interface = self.interfaces[0]
        view = data.data
        pending = Pending()
        while end - at >= self._size and len(pending) < _MANY:
            seconds, fraction, captured, original = self._header.unpack_from(view, at)
            if self._lengths is Lengths.ORIGINAL_FIRST or (
                self._lengths is Lengths.SMALLER_IS_CAPTURED and captured > original
            ):
                captured, original = original, captured
            if captured > MAX_FRAME:
                self.damage = f"frame {self.count + len(pending) + 1} says that it is {captured} bytes long"
                break
            stride = self._size + captured
            self.need = stride
            if at + stride > end:
                break
            if self._alike(view, at, end, stride, captured):
                if pending:
                    break
                run = self._run(data, at, (end - at) // stride, stride)
                if run >= _RUN:
                    batch = self._uniform(data, at, run, stride, captured, original)
                    return batch, at + run * stride
                self._patience = 4 * _RUN
            pending.add(at + self._size, captured, original, 0, seconds * interface.units + fraction, 0, interface.fcs)
            at += stride
        if not pending:
            return None, at
        batch = pending.take(data, self.count + 1, self.interfaces)
        self._book(len(batch))
        return batch, at

    def _alike(self, view: memoryview, at: int, end: int, stride: int, captured: int) -> bool:
        """Whether it looks as if a run of records of one size began here."""
        self._patience -= self._patience > 0
        if self._patience or end - at < _RUN * stride or self._lengths is not Lengths.CAPTURED_FIRST:
            return False
        near, far = (self._header.unpack_from(view, at + rows * stride)[2] for rows in (1, _RUN - 1))
        return bool(near == far == captured)

    def _run(self, data: Bytes, at: int, rows: int, stride: int) -> int:
        captured, original = (np.ndarray((rows,), self._word, data, at + place, (stride,)) for place in (8, 12))
        return run_length([captured == captured[0], original == original[0]])

    def _uniform(self, data: Bytes, at: int, rows: int, stride: int, captured: int, original: int) -> Batch:
        seconds, fraction = (
            np.ndarray((rows,), self._word, data, at + place, (stride,)).astype(np.uint64) for place in (0, 4)
        )
        interface = self.interfaces[0]
        captured, original, check = fcs.without(interface.fcs, interface.link, captured, original)
        batch = Batch(
            data,
            self.count + 1,
            np.arange(at + self._size, at + self._size + rows * stride, stride, dtype=np.int64),
            np.broadcast_to(np.int64(captured), rows),
            np.broadcast_to(np.int64(original), rows),
            np.broadcast_to(np.int64(0), rows),
            seconds * np.uint64(self.interfaces[0].units) + fraction,
            self.interfaces,
            np.broadcast_to(np.uint8(0), rows),
            np.broadcast_to(np.int64(check), rows),
            stride,
        )
        self._book(rows)
        return batch

    def _book(self, frames: int) -> None:
        self.count += frames
        self.interfaces[0].frames += frames
