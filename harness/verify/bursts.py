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
    """One burst against what was seen. Memory: a byte per datagram, or less when its size cuts the sequence number."""

    def __init__(self, burst: ExpectedBurst) -> None:
        self.burst = burst
        self.forms = tuple(Form(item) for item in (burst.template, *burst.template.alternatives))
        self.matched = 0
        self.altered = 0
        self.duplicated = 0
        self.reordered = 0
        self.slots: dict[int, int] = {}
        self._short = burst.size < 8
        self._flags = bytearray(0 if self._short else burst.count)
        self._tally: dict[int, int] = {}
        self._last = -1

    def take(self, seen: SeenDatagram, port: int, findings: list[Finding]) -> Form | None:
        """The form in which the datagram is one of this burst's; counts it, as a duplicate if it came before."""
        sequence = self.burst.sequence_of(seen.payload)
        if sequence is None:
            return None
        payload = self.burst.payload(sequence)
        for form in self.forms:
            if equal(form, seen, port, payload):
                return form if self._book(sequence, seen, findings) else None
        return None

    def _book(self, sequence: int, seen: SeenDatagram, findings: list[Finding]) -> bool:
        if self._short:
            tally = self._tally.get(sequence, 0)
            fresh = tally < self.burst.copies(sequence)
            if not fresh and not self.burst.copies(sequence):
                return False
            self._tally[sequence] = tally + fresh
        else:
            at = sequence - self.burst.first
            fresh = not self._flags[at]
            self._flags[at] = 1
        operation = self.burst.template.operation
        if not fresh:
            self.duplicated += 1
            findings.append(
                Finding(Verdict.DUPLICATED, seen.frame, operation, "datagram", "once", f"sequence {sequence} again")
            )
            return True
        self.matched += 1
        if not self._short and self.burst.ordered and sequence < self._last:
            self.reordered += 1
            text = f"sequence {sequence} after {self._last}"
            findings.append(Finding(Verdict.REORDERED, seen.frame, operation, "order", "ascending", text))
        self._last = max(self._last, sequence)
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
        if self._short:
            self._tally[sequence] = self._tally.get(sequence, 0) + 1
        else:
            self._flags[sequence - self.burst.first] = 2

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
        if self._short:
            for sequence in range(min(self.burst.count, 256**self.burst.size)):
                key = (self.burst.first + sequence) % 256**self.burst.size
                if self._tally.get(key, 0) < self.burst.copies(key):
                    yield key, key + 1
            return
        at = self._flags.find(0)
        while at >= 0:
            ends = [end for end in (self._flags.find(1, at), self._flags.find(2, at)) if end >= 0]
            end = min(ends, default=len(self._flags))
            yield self.burst.first + at, self.burst.first + end
            at = self._flags.find(0, end)
