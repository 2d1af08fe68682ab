"""Finds which short byte strings occur in which long ones, each long one read once (Karp and Rabin's rolling hash)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.verify.columns import firsts

_BASE = np.uint32(0x01000193)
_FILTER_BITS = 16


def contained(
    texts: Sequence[bytes], needles: Sequence[bytes], of_texts: NDArray[np.int64], of_needles: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which pairs are such that ``texts[of_texts[n]]`` holds ``needles[of_needles[n]]``.

    A needle that a hash collision hides (one in four billion) counts as not found.
    """
    numbers: dict[bytes, int] = {}
    for number in sorted(set(of_needles.tolist())):
        numbers.setdefault(needles[number], len(numbers))
    by_size: dict[int, dict[int, bytes]] = {}
    for needle in numbers:
        by_size.setdefault(len(needle), {})[int(_hashes(needle, len(needle))[0])] = needle
    keys: set[int] = set()
    for number in sorted(set(of_texts.tolist())):
        text = texts[number]
        for size, hashes in by_size.items():
            keys.update(number * len(numbers) + numbers[needle] for needle in _found(text, size, hashes))
    if not keys:
        return np.zeros(len(of_texts), dtype=np.bool_)
    known = np.array(sorted(keys), dtype=np.int64)
    of_needle = np.array([numbers.get(item, -1) for item in needles], dtype=np.int64)[of_needles]
    wanted = of_texts * len(numbers) + of_needle
    places = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    result: NDArray[np.bool_] = known[places] == wanted
    return result


def _found(text: bytes, size: int, hashes: dict[int, bytes]) -> list[bytes]:
    """The needles of one size that occur in a text, by their hashes."""
    if len(text) < size:
        return []
    rolling = _hashes(text, size)
    shift = np.uint32(32 - _FILTER_BITS)
    may_be = np.zeros(1 << _FILTER_BITS, dtype=np.bool_)
    may_be[np.array(list(hashes), dtype=np.uint32) >> shift] = True
    places = np.flatnonzero(may_be[rolling >> shift])
    places = places[firsts(rolling[places])] if len(places) else places
    out = []
    for at in places.tolist():
        needle = hashes.get(int(rolling[at]))
        if needle is not None and text[at : at + size] == needle:
            out.append(needle)
    return out


def _hashes(text: bytes, size: int) -> NDArray[np.uint32]:
    """The hash of each ``size`` bytes that follow each other in a text."""
    data = np.frombuffer(text, np.uint8).astype(np.uint32)
    count = len(data) - size + 1
    result = np.zeros(count, dtype=np.uint32)
    for at in range(size):
        result *= _BASE
        result += data[at : at + count] + np.uint32(1)
    return result ^ (result >> np.uint32(15))
