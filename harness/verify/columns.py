"""Frames of one size as a table whose columns numpy reads where they lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.capture import links
from harness.capture.batches import Batch, Bytes

_MOST_PADDING = 64
_HEADERS = 42


@dataclass(frozen=True, slots=True)
class Rows:
    """``count`` frames of ``width`` bytes, ``stride`` bytes apart."""

    data: Bytes
    base: int
    stride: int
    count: int
    width: int

    def __len__(self) -> int:
        return self.count

    def column(self, at: int, kind: str) -> NDArray[np.generic]:
        """The values of one numpy type at byte ``at`` of each frame, without a copy."""
        return np.ndarray((self.count,), np.dtype(kind), self.data, self.base + at, (self.stride,))


def firsts(values: NDArray[np.generic]) -> NDArray[np.int64]:
    """Where each distinct value occurs first; ``numpy.unique`` would import all of ``numpy.ma`` for it."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    new = np.ones(len(values), dtype=np.bool_)
    new[1:] = ordered[1:] != ordered[:-1]
    places: NDArray[np.int64] = order[new]
    return places


def groups(batch: Batch, size: int) -> Iterator[tuple[NDArray[np.int64], Rows]]:
    """Whole Ethernet frames that could carry ``size`` bytes of payload: their indexes in the batch, and their table."""
    low = _HEADERS + size
    if batch.stride:
        width = int(batch.captured[0])
        if low <= width <= low + _MOST_PADDING and int(batch.original[0]) <= width and _is_ethernet(batch, 0):
            yield np.arange(len(batch)), Rows(batch.data, int(batch.offsets[0]), batch.stride, len(batch), width)
        return
    whole = (batch.original <= batch.captured) & (batch.captured >= low) & (batch.captured <= low + _MOST_PADDING)
    if not all(item.link == links.ETHERNET for item in batch.table):
        links_of = np.array([item.link for item in batch.table])
        whole &= links_of[batch.interface] == links.ETHERNET
    widths = batch.captured[whole]
    for width in widths[firsts(widths)]:
        indexes = np.flatnonzero(whole & (batch.captured == width))
        data = batch.data[batch.offsets[indexes][:, None] + np.arange(width)].reshape(-1)
        yield indexes, Rows(data, 0, int(width), len(indexes), int(width))


def _is_ethernet(batch: Batch, index: int) -> bool:
    return batch.table[int(batch.interface[index])].link == links.ETHERNET
