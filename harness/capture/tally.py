"""Remembers which frames passed in eight bytes each: a record of any length can be held against what was seen."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable

from harness.capture.frames import CapturedFrame


class Tally:
    """Frames in the order in which they came.

    Args:
        kept: bytes of a frame that are compared; what lies behind them is not.
    """

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._marks = array("q")

    def __len__(self) -> int:
        return len(self._marks)

    def add(self, frames: Iterable[CapturedFrame]) -> None:
        """Append frames."""
        self._marks.extend([self._mark(frame.length, frame.data) for frame in frames])

    def up_to(self, data: bytes) -> Tally:
        """The tally as it was when a frame of these bytes had just been added for the first time.

        Raises:
            ValueError: no such frame was added.
        """
        part = Tally(self._kept)
        part._marks = self._marks[: self._marks.index(self._mark(len(data), data)) + 1]
        return part

    def differences(self, seen: Tally) -> list[str]:
        """How a record with this tally differs from what was seen, in words; empty when they agree frame by frame."""
        if self._marks == seen._marks:
            return []
        only_recorded, only_seen = Counter(self._marks), Counter(seen._marks)
        only_recorded, only_seen = only_recorded - only_seen, only_seen - only_recorded
        if not only_recorded and not only_seen:
            return ["the record holds the same frames as the live capture in another order"]
        counts = [(only_seen.total(), "missing in the record"), (only_recorded.total(), "only in the record")]
        return [f"{count} frame{'s' if count > 1 else ''} {what}" for count, what in counts if count]

    def _mark(self, length: int, data: bytes) -> int:
        # Python's hash of bytes is a keyed 64-bit one, the same for the whole life of the process.
        return hash((length, data[: self._kept]))
