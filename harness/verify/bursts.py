"""Keeps the books of one burst: which of its datagrams have been seen, without an object for each."""

from __future__ import annotations

from collections.abc import Iterator

from harness.model.datagram import ExpectedBurst
from harness.verify.compare import Form, equal
from harness.verify.seen import SeenDatagram
from harness.verify.verdict import Finding, Verdict

_SOME = 256
_MAX_RANGES = 64


class BurstTracker:
    """One burst against what was seen. Memory: a byte per datagram, or less when its size cuts the sequence number.

    ``flags`` has a byte per datagram: 0 not seen, 1 seen as predicted, 2 seen otherwise; ``last`` is the highest
    sequence number seen, -1 for none; ``short`` says that the size cuts sequence numbers; ``out_of_turn`` says that
    later frames were counted first (in bulk), so that order shows nothing any more.
    """

    def __init__(self, burst: ExpectedBurst) -> None:
        self.burst = burst
        self.forms = tuple(Form(item) for item in (burst.template, *burst.template.alternatives))
        self.matched = 0
        self.altered = 0
        self.duplicated = 0
        self.reordered = 0
        self.slots: dict[int, int] = {}
        self.short = burst.size < 8
        self.flags = bytearray(0 if self.short else burst.count)
        self._tally: dict[int, int] = {}
        self.last = -1
        self.out_of_turn = False

    def is_one(self, seen: SeenDatagram, port: int) -> Form | None:
        """The form in which the datagram is one of this burst's, whether it came before or not."""
        sequence = self.burst.sequence_of(seen.payload)
        if sequence is None or not self.burst.copies(sequence):
            return None
        payload = self.burst.payload(sequence)
        return next((form for form in self.forms if equal(form, seen, port, payload)), None)

    def take(self, seen: SeenDatagram, port: int, findings: list[Finding], *, again: bool) -> Form | None:
        """Count the datagram if it is one of this burst's, and say in which form.

        Args:
            seen: what was captured.
            port: the source port, 0 for any.
            findings: takes what is wrong with it.
            again: count it as a duplicate if it came before; else such a one is not taken (another burst's, maybe).
        """
        form = self.is_one(seen, port)
        if form is None or not self._book(self.burst.sequence_of(seen.payload) or 0, seen, findings, again):
            return None
        return form

    def duplicate(self, sequence: int, frame: int) -> Finding:
        """What is said of a datagram that had been seen before."""
        what = f"sequence {sequence} again"
        return Finding(Verdict.DUPLICATED, frame, self.burst.template.operation, "datagram", "once", what)

    def late(self, sequence: int, last: int, frame: int) -> Finding:
        """What is said of a datagram that comes after one with a higher sequence number."""
        what = f"sequence {sequence} after {last}"
        return Finding(Verdict.REORDERED, frame, self.burst.template.operation, "order", "ascending", what)

    def _book(self, sequence: int, seen: SeenDatagram, findings: list[Finding], again: bool) -> bool:
        if self.short:
            tally = self._tally.get(sequence, 0)
            fresh = tally < self.burst.copies(sequence)
            self._tally[sequence] = tally + fresh
        else:
            at = sequence - self.burst.first
            fresh = not self.flags[at]
            self.flags[at] = self.flags[at] or 1
        if not fresh:
            if again:
                self.duplicated += 1
                findings.append(self.duplicate(sequence, seen.frame))
            return again
        self.matched += 1
        if self.out_of_turn:
            return True
        if not self.short and self.burst.ordered and sequence < self.last:
            self.reordered += 1
            findings.append(self.late(sequence, self.last, seen.frame))
        self.last = max(self.last, sequence)
        return True

    def mark_matched(self, sequence: int) -> None:
        """Count a datagram of the burst as seen and right."""
        self.matched += 1
        self._mark(sequence)

    def mark_altered(self, sequence: int) -> None:
        """Count a datagram of the burst as seen, but altered."""
        self.altered += 1
        self._mark(sequence)

    def _mark(self, sequence: int) -> None:
        if self.short:
            self._tally[sequence] = self._tally.get(sequence, 0) + 1
        else:
            self.flags[sequence - self.burst.first] = 2

    def some_missing(self) -> list[int]:
        """Sequence numbers not seen so far, the first few hundred."""
        out: list[int] = []
        for start, end in self._ranges():
            out.extend(range(start, min(end, start + _SOME - len(out))))
            if len(out) >= _SOME:
                break
        return out

    def report_missing(self, findings: list[Finding]) -> int:
        """Add one finding per run of missing datagrams (the first ones in full); how many are missing."""
        missing = self.burst.count - self.matched - self.altered
        if not missing:
            return 0
        shown = 0
        for number, (start, end) in enumerate(self._ranges()):
            if number == _MAX_RANGES:
                break
            shown += end - start
            what = (
                f"sequence {start}" if end == start + 1 else f"sequences {start} to {end - 1} ({end - start} datagrams)"
            )
            findings.append(Finding(Verdict.MISSING, None, self.burst.template.operation, "datagram", what, "nothing"))
        if shown < missing:
            text = f"{missing - shown} more datagrams of the burst"
            findings.append(Finding(Verdict.MISSING, None, self.burst.template.operation, "datagram", text, "nothing"))
        return missing

    def _ranges(self) -> Iterator[tuple[int, int]]:
        """Runs of missing sequence numbers, end exclusive."""
        if self.short:
            for sequence in range(min(self.burst.count, 256**self.burst.size)):
                key = (self.burst.first + sequence) % 256**self.burst.size
                if self._tally.get(key, 0) < self.burst.copies(key):
                    yield key, key + 1
            return
        at = self.flags.find(0)
        while at >= 0:
            ends = [end for end in (self.flags.find(1, at), self.flags.find(2, at)) if end >= 0]
            end = min(ends, default=len(self.flags))
            yield self.burst.first + at, self.burst.first + end
            at = self.flags.find(0, end)
