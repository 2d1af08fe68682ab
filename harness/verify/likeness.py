"""How alike an expected and a seen payload are, for many pairs at once and with few bytes read for each pair.

Every payload is read once. A pair of payloads of one length is then compared in ``_SAMPLE`` bytes of each (all bytes
of a payload that is not longer), so that time grows with the bytes of the payloads and not with pairs times bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.verify.shifted import contained

Numbers = NDArray[np.int64]

EQUAL, EMPTY, NOTHING_SHARED = 6, 2, -2
CUT_OR_FEW_WRONG, SHIFTED, HALF_WRONG = 4, 3, 2
_SAMPLE = 512
_HEAD = 16
_ENOUGH_TO_SHIFT = 8
_AT_ONCE = 4096


def likeness(expected: Sequence[bytes], seen: Sequence[bytes], rows: Numbers, columns: Numbers) -> Numbers:
    """The likeness of each pair ``expected[rows[n]]`` and ``seen[columns[n]]``.

    Returns:
        one number per pair: ``EQUAL`` (``EMPTY`` when both are empty), ``NOTHING_SHARED`` when one of them is empty,
        ``CUT_OR_FEW_WRONG`` when one is the other's beginning or an eighth of the bytes differ at most, ``SHIFTED``
        when lengths differ and one holds the other's first or last bytes, ``HALF_WRONG``, else 0.
    """
    numbers: dict[bytes, int] = {}
    of_expected = np.array([numbers.setdefault(item, len(numbers)) for item in expected], dtype=np.int64)
    of_seen = np.array([numbers.setdefault(item, len(numbers)) for item in seen], dtype=np.int64)
    payloads = list(numbers)
    lengths = np.array([len(item) for item in payloads], dtype=np.int64)
    left, right = of_expected[rows], of_seen[columns]
    shared = np.minimum(lengths[left], lengths[right])
    same_length = lengths[left] == lengths[right]
    result = np.where(shared == 0, NOTHING_SHARED, 0)
    equal = left == right
    result[equal] = np.where(shared[equal] == 0, EMPTY, EQUAL)
    places = np.flatnonzero(~equal & same_length & (shared > 0))
    if len(places):
        result[places] = _by_wrong_bytes(payloads, lengths, left[places], right[places])
    places = np.flatnonzero(~same_length & (shared > 0))
    if len(places):
        cut = _is_beginning(payloads, shared[places], left[places], right[places])
        result[places[cut]] = CUT_OR_FEW_WRONG
        places = places[~cut & (shared[places] >= _ENOUGH_TO_SHIFT)]
        result[places[_is_shifted(payloads, left[places], right[places])]] = SHIFTED
    return result


def _by_wrong_bytes(payloads: Sequence[bytes], lengths: Numbers, left: Numbers, right: Numbers) -> Numbers:
    """The likeness of pairs of one length, by the share of their sampled bytes that differ."""
    samples = np.zeros((len(payloads), _SAMPLE), dtype=np.uint8)
    where: dict[int, Numbers] = {}
    for number, payload in enumerate(payloads):
        size = len(payload)
        if size not in where:
            where[size] = _sampled(size)
        samples[number, : len(where[size])] = np.frombuffer(payload, np.uint8)[where[size]]
    wrong = np.empty(len(left), dtype=np.int64)
    for start in range(0, len(left), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        wrong[part] = (samples[left[part]] != samples[right[part]]).sum(axis=1)
    counted = np.minimum(lengths[left], _SAMPLE)
    few, half = wrong <= np.maximum(1, counted // 8), wrong <= counted // 2
    return np.where(few, CUT_OR_FEW_WRONG, np.where(half, HALF_WRONG, 0)).astype(np.int64)


def _sampled(size: int) -> Numbers:
    """Places to look at in a payload of ``size`` bytes: all, or one in each of ``_SAMPLE`` parts."""
    if size <= _SAMPLE:
        return np.arange(size)
    numbers = np.arange(_SAMPLE, dtype=np.int64)
    starts = numbers * size // _SAMPLE
    widths = (numbers + 1) * size // _SAMPLE - starts
    return starts + (numbers * 2654435761 % (1 << 32) >> 9) % widths


def _is_beginning(payloads: Sequence[bytes], shared: Numbers, left: Numbers, right: Numbers) -> NDArray[np.bool_]:
    """Which pairs, of different lengths, are such that the longer one begins with the whole shorter one."""
    heads = np.zeros((len(payloads), _HEAD), dtype=np.uint8)
    for number, payload in enumerate(payloads):
        head = payload[:_HEAD]
        heads[number, : len(head)] = np.frombuffer(head, np.uint8)
    beyond = np.arange(_HEAD) >= shared[:, None]
    result: NDArray[np.bool_] = ((heads[left] == heads[right]) | beyond).all(axis=1)
    for at in np.flatnonzero(result & (shared > _HEAD)):
        one, other = payloads[left[at]], payloads[right[at]]
        result[at] = one.startswith(other) if len(one) > len(other) else other.startswith(one)
    return result


def _is_shifted(payloads: Sequence[bytes], left: Numbers, right: Numbers) -> NDArray[np.bool_]:
    """Which pairs are such that a payload holds the other one's first bytes, or the seen (right) the expected last."""
    heads, tails = [item[:_HEAD] for item in payloads], [item[-_HEAD:] for item in payloads]
    return (
        contained(payloads, heads, right, left)
        | contained(payloads, heads, left, right)
        | contained(payloads, tails, right, left)
    )
