"""Frames of a capture file, many at a time: where each lies in a buffer, without an object per frame.

A batch whose records are all alike (``stride`` above 0) is one that numpy can look at in columns where it lies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.capture import fcs, links
from harness.capture.frames import CapturedFrame
from harness.capture.origin import Direction

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(slots=True)
class Interface:
    """One interface of a file.

    Args:
        name: its name, empty when the file does not say.
        link: link type, 1 for Ethernet.
        snap: snap length, 0 for none.
        units: time stamp units per second.
        offset_s: seconds added to each time stamp.
        dropped: frames lost according to its last statistics; ``None`` while there are none.
        frames: how many frames of it have been read.
        fcs: bytes of frame check sequence at the end of each frame that does not say it itself.
    """

    name: str
    link: int
    snap: int = 0
    units: int = 1_000_000
    offset_s: int = 0
    dropped: int | None = None
    frames: int = 0
    fcs: int = 0

    def nanoseconds(self, units: int) -> int:
        """A time stamp as nanoseconds since the epoch."""
        return units * 1_000_000_000 // self.units + self.offset_s * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames that follow each other in a file; valid until the next batch is asked for.

    Args:
        data: the buffer that they lie in.
        first: number of the first one, from 1 as Wireshark counts.
        offsets: where each frame begins in the buffer.
        captured, original: bytes of each in the file and on the wire, without the frame check sequence.
        interface: number of each one's interface in ``table``.
        times: time stamp of each in its interface's units.
        table: the interfaces of the section.
        direction: ``Direction`` of each.
        fcs: bytes of frame check sequence that follow each in the file.
        stride: distance from frame to frame when all of them have one size and interface, else 0.
    """

    data: Bytes
    first: int
    offsets: Numbers
    captured: Numbers
    original: Numbers
    interface: Numbers
    times: NDArray[np.uint64]
    table: list[Interface]
    direction: Bytes
    fcs: Numbers
    stride: int = 0

    def __len__(self) -> int:
        return len(self.offsets)

    def part(self, start: int, end: int) -> Batch:
        """The frames ``start`` to ``end - 1`` of it."""
        cut = slice(start, end)
        return Batch(
            self.data,
            self.first + start,
            self.offsets[cut],
            self.captured[cut],
            self.original[cut],
            self.interface[cut],
            self.times[cut],
            self.table,
            self.direction[cut],
            self.fcs[cut],
            self.stride,
        )

    def frame(self, index: int) -> CapturedFrame:
        """One frame as a value, its link layer made Ethernet."""
        start, size = int(self.offsets[index]), int(self.captured[index])
        interface = self.table[int(self.interface[index])]
        data = self.data[start : start + size].tobytes()
        length = int(self.original[index])
        if links.is_readable(interface.link):
            data, length = links.ethernet(interface.link, data, length)
        time_ns = interface.nanoseconds(int(self.times[index]))
        way = Direction(int(self.direction[index]))
        return CapturedFrame(self.first + index, time_ns, data, length, interface.name, None, way)

    def starts_with(self, at: int, value: bytes) -> Flags:
        """Which frames have these bytes at ``at``; frames that are too short have not."""
        if self.stride:
            if int(self.captured[0]) < at + len(value):
                return np.zeros(len(self), dtype=np.bool_)
            return self._column(at, value)
        result: Flags = self.captured >= at + len(value)
        places = self.offsets[result] + at
        found = np.ones(len(places), dtype=np.bool_)
        for index, byte in enumerate(value):
            found &= self.data[places + index] == byte
        result[result] = found
        return result

    def _column(self, at: int, value: bytes) -> Flags:
        base = int(self.offsets[0]) + at
        result = np.ones(len(self), dtype=np.bool_)
        for index, byte in enumerate(value):
            column: Bytes = np.ndarray((len(self),), np.uint8, self.data, base + index, (self.stride,))
            result &= column == byte
        return result


class Pending:
    """Collects frames one by one until they are a batch."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, ...]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self, offset: int, captured: int, original: int, interface: int, time: int, direction: int = 0, check: int = 0
    ) -> None:
        """Append one frame, whose last ``check`` bytes are the frame check sequence."""
        self._rows.append((offset, captured, original, interface, time, direction, check))

    def take(self, data: Bytes, first: int, table: list[Interface]) -> Batch:
        """The batch of what was collected; begins anew."""
        columns = list(zip(*self._rows, strict=True))
        self._rows = []
        offsets, captured, original, interface = (np.array(column, dtype=np.int64) for column in columns[:4])
        times = np.array(columns[4], dtype=np.uint64)
        directions = np.array(columns[5], dtype=np.uint8)
        checks = np.array(columns[6], dtype=np.int64)
        for row in np.flatnonzero(checks).tolist():
            item = table[int(interface[row])]
            captured[row], original[row], checks[row] = fcs.without(
                int(checks[row]), item.link, int(captured[row]), int(original[row])
            )
        return Batch(data, first, offsets, captured, original, interface, times, table, directions, checks)


def run_length(equal: list[Flags]) -> int:
    """How many rows from the first on fulfil all conditions."""
    both = equal[0]
    for condition in equal[1:]:
        both = both & condition
    wrong = int(both.argmin())
    return len(both) if both[wrong] else wrong
