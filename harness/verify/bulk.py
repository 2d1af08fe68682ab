"""Judges the datagrams of bursts by the million: whole batches of frames at a time, in columns, with numpy.

A frame is taken here only when every byte of it that the model asserts is as predicted and its checksums are what
``compare.equal`` accepts. Whatever deviates is left to the exact path, frame by frame, so that the words of the verdict
are the same; memory is a byte per expected datagram and does not grow with the capture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.capture.batches import Batch, Flags
from harness.model.datagram import Prediction
from harness.verify.bursts import BurstTracker
from harness.verify.columns import Rows, firsts, groups
from harness.verify.compare import observations
from harness.verify.match import Begun, offload_finding
from harness.verify.order import MOST, kind_of
from harness.verify.parse import dissect
from harness.verify.pattern import Pattern
from harness.verify.seen import SeenDatagram
from harness.verify.verdict import Finding, Kind, Verdict

_TRIES = 64


class Bulk:
    """The bursts of one stretch of a capture.

    Args:
        predictions: the stretch's predictions.
        partial_checksum: the NIC leaves checksums to the hardware, so that a partial one is no finding.
    """

    def __init__(self, predictions: Iterable[Prediction], partial_checksum: bool) -> None:
        predictions = tuple(predictions)
        self._partial = partial_checksum
        trackers = {item.step: BurstTracker(item.burst) for item in predictions if item.burst is not None}
        self.begun = Begun(trackers=trackers)
        self._told: Counter[Kind] = Counter()
        self._known: dict[int, set[int]] = {}
        self._contested = {
            step: np.array(sorted(_contested(tracker, predictions)), dtype=np.uint64)
            for step, tracker in trackers.items()
        }
        self._patterns: dict[tuple[int, int], list[Pattern]] = {}

    def take(self, batch: Batch) -> Flags:
        """Book every frame that is a burst's datagram as predicted; which frames those are."""
        taken = np.zeros(len(batch), dtype=np.bool_)
        again: list[tuple[BurstTracker, NDArray[np.int64], NDArray[np.uint64]]] = []
        for tracker in self.begun.trackers.values():
            if not fits(tracker):
                continue
            for indexes, rows in groups(batch, tracker.burst.size):
                free = np.flatnonzero(~taken[indexes])
                if len(free):
                    self._group(batch, tracker, rows, indexes, taken, again)
        for tracker, where, sequences in again:
            fresh = ~taken[where]
            if fresh.any():
                taken[where[fresh]] = True
                self._duplicates(batch, tracker, where[fresh], sequences[fresh])
        return taken

    def _group(
        self,
        batch: Batch,
        tracker: BurstTracker,
        rows: Rows,
        indexes: NDArray[np.int64],
        taken: Flags,
        again: list[tuple[BurstTracker, NDArray[np.int64], NDArray[np.uint64]]],
    ) -> None:
        """Take what one burst finds among frames of one size."""
        for pattern in self._patterns_of(batch, tracker, rows, indexes):
            good, partial, sequences = pattern.compare(rows)
            good &= ~taken[indexes]
            contested = self._contested[tracker.burst.template.operation]
            if len(contested):
                good &= ~np.isin(sequences, contested)
            found = np.flatnonzero(good)
            if not len(found):
                continue
            whole = len(found) == len(rows)
            numbers = sequences if whole else sequences[found]
            fresh = _book(tracker, numbers, pattern.consecutive and whole)
            where = indexes if whole else indexes[found]
            if fresh.late:
                self._reordered(batch, tracker, where, fresh.late)
            if fresh.old is not None:
                again.append((tracker, where[fresh.old], numbers[fresh.old]))
                taken[where[~fresh.old]] = True
            else:
                taken[where] = True
            if partial is not None:
                self._offload(batch, tracker, indexes[partial & good])
            if pattern.watched:
                self._observe(batch, tracker, pattern, rows, indexes, good)

    def _patterns_of(
        self, batch: Batch, tracker: BurstTracker, rows: Rows, indexes: NDArray[np.int64]
    ) -> list[Pattern]:
        """What the burst's frames of this size look like, one for each source address; learns an unknown port."""
        template = tracker.burst.template
        port = template.source.port or self.begun.ports.get(template.socket, 0)
        if not port:
            port = self._learn(batch, tracker, rows, indexes)
            if not port:
                return []
        key = (template.operation, rows.width)
        if key not in self._patterns:
            forms = [(form, source) for form in tracker.forms for source in form.sources]
            made = (Pattern.of(tracker.burst, form, source, port, rows.width) for form, source in forms)
            self._patterns[key] = [item for item in made if item is not None]
        return self._patterns[key]

    def _learn(self, batch: Batch, tracker: BurstTracker, rows: Rows, indexes: NDArray[np.int64]) -> int:
        """The port of the first frame that is the burst's in everything else; 0 when there is none."""
        tries = 0
        made = (Pattern.of(tracker.burst, form, item, 0, rows.width) for form in tracker.forms for item in form.sources)
        for loose in made:
            if loose is None:
                continue
            for row in np.flatnonzero(loose.heads(rows)):
                tries += 1
                if tries > _TRIES:
                    return 0
                seen = _seen(batch, int(indexes[row]))
                if seen is not None and not seen.problems and tracker.is_one(seen, 0):
                    self.begun.ports[tracker.burst.template.socket] = seen.source_port
                    return seen.source_port
        return 0

    def _tell(self, finding: Finding) -> None:
        self._told[kind_of(finding)] += 1
        self.begun.findings.append(finding)

    def _room(self, kind: Kind, count: int) -> int:
        """How many of ``count`` findings of a kind are still to be told; the rest are counted."""
        room = min(count, MOST - self._told[kind])
        if count > room:
            self.begun.untold[kind] += count - room
        return room

    def _duplicates(
        self, batch: Batch, tracker: BurstTracker, where: NDArray[np.int64], sequences: NDArray[np.uint64]
    ) -> None:
        tracker.duplicated += len(where)
        operation = tracker.burst.template.operation
        for at in range(self._room((Verdict.DUPLICATED, operation, "datagram"), len(where))):
            self._tell(tracker.duplicate(int(sequences[at]), batch.first + int(where[at])))

    def _reordered(
        self, batch: Batch, tracker: BurstTracker, where: NDArray[np.int64], late: list[tuple[int, int, int]]
    ) -> None:
        operation = tracker.burst.template.operation
        tracker.reordered += len(late)
        for at, sequence, last in late[: self._room((Verdict.REORDERED, operation, "order"), len(late))]:
            self._tell(tracker.late(sequence, last, batch.first + int(where[at])))

    def _offload(self, batch: Batch, tracker: BurstTracker, where: NDArray[np.int64]) -> None:
        self.begun.offload += len(where)
        if self._partial:
            return
        template = tracker.burst.template
        for at in range(self._room((Verdict.OFFLOAD, template.operation, "udp.checksum"), len(where))):
            seen = _seen(batch, int(where[at]))
            if seen is not None:
                self._tell(offload_finding(template, seen))

    def _observe(
        self,
        batch: Batch,
        tracker: BurstTracker,
        pattern: Pattern,
        rows: Rows,
        indexes: NDArray[np.int64],
        good: Flags,
    ) -> None:
        """Record each new combination of the fields that are free, from one frame that shows it."""
        known = self._known.setdefault(tracker.burst.template.operation, set())
        values = pattern.free_values(rows)
        present = values[good]
        for value in present[firsts(present)] if len(present) else ():
            if int(value) in known:
                continue
            known.add(int(value))
            row = int(np.flatnonzero(good & (values == value))[0])
            seen = _seen(batch, int(indexes[row]))
            for item in observations(pattern.form, seen) if seen is not None else ():
                self.begun.observed.setdefault((item.field, item.expected, item.seen), item)


def fits(tracker: BurstTracker) -> bool:
    """Whether a burst's datagrams can be told here: one frame each, and whole sequence numbers."""
    burst = tracker.burst
    return len(burst.template.layout) == 1 and not tracker.short and burst.first + burst.count < 1 << 63


@dataclass(frozen=True, slots=True)
class _Booked:
    """What booking sequence numbers brought.

    Args:
        old: which of them had been seen before; ``None`` for none.
        late: (place, sequence, highest before it) of those out of order.
    """

    old: Flags | None
    late: list[tuple[int, int, int]]


def _book(tracker: BurstTracker, sequences: NDArray[np.uint64], consecutive: bool) -> _Booked:
    """Mark sequence numbers of a burst as seen, in the order in which they came."""
    flags = np.frombuffer(tracker.flags, dtype=np.uint8)
    tracker.out_of_turn = True
    place = (sequences - np.uint64(tracker.burst.first)).astype(np.int64)
    start, count = int(place[0]), len(place)
    if consecutive and int(sequences[0]) > tracker.last and not flags[start : start + count].any():
        flags[start : start + count] = 1
        tracker.matched += count
        tracker.last = int(sequences[-1])
        return _Booked(None, [])
    fresh = np.zeros(count, dtype=np.bool_)
    fresh[firsts(place)] = True
    fresh &= flags[place] == 0
    flags[place[fresh]] = 1
    tracker.matched += int(fresh.sum())
    late = _late(tracker, sequences, fresh)
    return _Booked(None if fresh.all() else ~fresh, late)


def _late(tracker: BurstTracker, sequences: NDArray[np.uint64], fresh: Flags) -> list[tuple[int, int, int]]:
    """Those of the fresh ones that come after a higher one, and what that was; moves the highest on."""
    if not fresh.any():
        return []
    news = sequences[fresh].astype(np.int64)
    highest = np.maximum.accumulate(np.concatenate(([tracker.last], news)))
    tracker.last = int(highest[-1])
    if not tracker.burst.ordered:
        return []
    late = np.flatnonzero(news < highest[:-1])
    places = np.flatnonzero(fresh)
    return [(int(places[at]), int(news[at]), int(highest[at])) for at in late]


def _seen(batch: Batch, index: int) -> SeenDatagram | None:
    datagrams = dissect([batch.frame(index)]).datagrams
    return datagrams[0] if datagrams else None


def _contested(tracker: BurstTracker, predictions: Iterable[Prediction]) -> set[int]:
    """Sequence numbers of a burst whose datagrams are also those of a single send."""
    out: set[int] = set()
    for prediction in predictions:
        for datagram in prediction.datagrams:
            for form in (datagram, *datagram.alternatives):
                sequence = tracker.burst.sequence_of(form.payload)
                if sequence is not None and form.destination == tracker.burst.template.destination:
                    out.add(sequence)
    return out
