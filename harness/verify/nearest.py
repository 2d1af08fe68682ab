"""Finds for each altered datagram the expected one that it was meant to be, by how much of its identity is left.

Which pairs are looked at is limited: those whose places in both lists are near, and those that hashing finds, which
share their payload or 16 bytes of it at one place. So time grows with the datagrams and their bytes, not with pairs of
them; while there are few datagrams every pair is looked at.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.model.datagram import ExpectedDatagram
from harness.verify.columns import firsts
from harness.verify.compare import Slot
from harness.verify.likeness import likeness
from harness.verify.seen import SeenDatagram

Numbers = NDArray[np.int64]

_ENOUGH = 5
_PAIRS = 250_000
_PIECE = 16
_PIECES_AT = (0, 16, 64, 256, 1024, 4096, 16_384)
_FEW = 2


def nearest_pairs(
    slots: Sequence[Slot], seen: Sequence[SeenDatagram], port: Callable[[ExpectedDatagram], int]
) -> Iterator[tuple[Slot, SeenDatagram]]:
    """Pairs of expected and seen datagrams, nearest first, each used once; what has nothing in common is not paired."""
    if not slots or not seen:
        return
    rows, columns = _candidates(slots, seen)
    scores = _identity(slots, seen, [port(slot.expected) for slot in slots], rows, columns)
    scores += likeness([slot.payload for slot in slots], [item.payload for item in seen], rows, columns)
    enough = scores >= _ENOUGH
    rows, columns, scores = rows[enough], columns[enough], scores[enough]
    used_slots: set[int] = set()
    used_seen: set[int] = set()
    for place in np.lexsort((columns, rows, np.abs(rows - columns), -scores)).tolist():
        i, j = int(rows[place]), int(columns[place])
        if i not in used_slots and j not in used_seen:
            used_slots.add(i)
            used_seen.add(j)
            yield slots[i], seen[j]


def _candidates(slots: Sequence[Slot], seen: Sequence[SeenDatagram]) -> tuple[Numbers, Numbers]:
    """The pairs that are looked at, each once: indexes of slots, and of seen datagrams."""
    window = min(len(slots), max(1, _PAIRS // len(seen)))
    starts = np.clip(np.arange(len(seen)) - window // 2, 0, len(slots) - window)
    rows = (starts[:, None] + np.arange(window)).reshape(-1)
    columns = np.repeat(np.arange(len(seen)), window)
    if window < len(slots):
        found = _by_hash(slots, seen)
        rows = np.concatenate([rows, found[:, 0]])
        columns = np.concatenate([columns, found[:, 1]])
        once = firsts(columns * len(slots) + rows)
        rows, columns = rows[once], columns[once]
    return rows.astype(np.int64), columns.astype(np.int64)


def _by_hash(slots: Sequence[Slot], seen: Sequence[SeenDatagram]) -> Numbers:
    """Pairs that share their payload or a piece of it: for each seen datagram and piece the nearest slots by place."""
    where: dict[Hashable, list[int]] = {}
    for i, slot in enumerate(slots):
        for key in _keys(slot.payload):
            where.setdefault(key, []).append(i)
    pairs: list[tuple[int, int]] = []
    for j, item in enumerate(seen):
        for key in _keys(item.payload):
            places = where.get(key, [])
            at = bisect_left(places, j)
            pairs.extend((i, j) for i in places[max(0, at - _FEW) : at + _FEW])
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _keys(payload: bytes) -> Iterator[Hashable]:
    yield payload
    for at in _PIECES_AT:
        if at + _PIECE > len(payload):
            break
        yield at, payload[at : at + _PIECE]
    yield -1, payload[-_PIECE:]


def _identity(
    slots: Sequence[Slot], seen: Sequence[SeenDatagram], ports: Sequence[int], rows: Numbers, columns: Numbers
) -> Numbers:
    """How much of endpoints and destination MAC is left in each pair, by the best of the slot's forms."""
    numbers: dict[Hashable, int] = {}

    def number(value: Hashable) -> int:
        return numbers.setdefault(value, len(numbers))

    def of_seen(values: Sequence[Hashable]) -> Numbers:
        return np.array([number(value) for value in values], dtype=np.int64)[columns]

    def of_slots(values: Sequence[Hashable | None]) -> Numbers:
        return np.array([-1 if value is None else number(value) for value in values], dtype=np.int64)[rows]

    destination, source = of_seen([item.destination for item in seen]), of_seen([item.source for item in seen])
    destination_port = np.array([item.destination_port for item in seen], dtype=np.int64)[columns]
    source_port = np.array([item.source_port for item in seen], dtype=np.int64)[columns]
    mac = of_seen([item.destination_mac for item in seen])
    port = np.array(ports, dtype=np.int64)[rows]
    best = np.full(len(rows), -100, dtype=np.int64)
    for at in range(max(len(slot.forms) for slot in slots)):
        forms = [slot.forms[at] if at < len(slot.forms) else None for slot in slots]
        score = 3 * (of_slots([form and form.destination for form in forms]) == destination).astype(np.int64)
        wanted = np.array([form.expected.destination.port if form else -1 for form in forms], dtype=np.int64)[rows]
        score += 3 * (wanted == destination_port)
        is_source = np.zeros(len(rows), dtype=np.bool_)
        for which in range(max(len(form.sources) for form in forms if form)):
            sources = [form.sources[which] if form and which < len(form.sources) else None for form in forms]
            is_source |= of_slots(sources) == source
        score += is_source
        score += of_slots([form and form.expected.destination_mac for form in forms]) == mac
        best = np.maximum(best, np.where(wanted < 0, -100, score))
    best += np.where(port == 0, 1, 2 * (port == source_port))
    return best
