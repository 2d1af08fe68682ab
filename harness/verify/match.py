"""Pairs expected datagrams with seen ones: each is one of matched, missing, duplicated, altered and unexpected.

First what is equal in every asserted field, in capture order; then copies of what matched; then each datagram left over
goes to the expected one whose identity is nearest, as altered. What remains is missing on the one side, unexpected (or
left for ``background`` to name) on the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from harness.model.datagram import ExpectedDatagram, Prediction, SocketId
from harness.verify.alike import Alike, grouped
from harness.verify.bursts import BurstTracker
from harness.verify.compare import SUPER_FRAME, Difference, Form, Slot, differences, equal, observations
from harness.verify.damaged import damaged_frames
from harness.verify.reassemble import REPEATED
from harness.verify.seen import ChecksumState, Other, SeenDatagram
from harness.verify.verdict import Finding, Kind, Observation, Verdict


@dataclass(slots=True)
class Matched:
    """What matching gives.

    Args:
        pairs: expected and seen datagrams that agree, in capture order.
        left: seen datagrams that belong to no prediction.
        left_others: frames without UDP that were not recognised as damaged datagrams.
    """

    expected: int = 0
    missing: int = 0
    duplicated: int = 0
    altered: int = 0
    offload: int = 0
    reordered: int = 0
    matched: int = 0
    findings: list[Finding] = field(default_factory=list)
    observed: dict[tuple[str, str, str], Observation] = field(default_factory=dict)
    pairs: list[tuple[ExpectedDatagram, SeenDatagram]] = field(default_factory=list)
    left: list[SeenDatagram] = field(default_factory=list)
    left_others: list[Other] = field(default_factory=list)


@dataclass(slots=True)
class Begun:
    """What ``bulk`` matched before the frames that are matched one by one.

    Args:
        trackers: the books of each burst, by step.
        ports: source ports that sockets turned out to have.
        observed, findings: as in ``Matched``.
        untold: how many findings of a kind are not in ``findings``, for there are too many.
        offload: datagrams with a partial checksum.
    """

    trackers: dict[int, BurstTracker] = field(default_factory=dict)
    ports: dict[SocketId, int] = field(default_factory=dict)
    observed: dict[tuple[str, str, str], Observation] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    untold: Counter[Kind] = field(default_factory=Counter)
    offload: int = 0


class Matcher:
    """Matches one case.

    Args:
        predictions: the case's predictions.
        partial_checksum: the NIC leaves checksums of unfragmented datagrams partial; anywhere else that is a finding.
        begun: what ``bulk`` has matched of the case before.
    """

    def __init__(self, predictions: Iterable[Prediction], partial_checksum: bool, begun: Begun | None = None) -> None:
        begun = begun or Begun()
        self._partial = partial_checksum
        self._slots: list[Slot] = []
        self._bursts: list[BurstTracker] = []
        for prediction in predictions:
            self._slots.extend(Slot(item) for item in prediction.datagrams)
            if prediction.burst is not None:
                self._bursts.append(begun.trackers.get(prediction.step) or BurstTracker(prediction.burst))
        self._index = grouped(self._slots)
        self._ports = dict(begun.ports)
        self.result = Matched(offload=begun.offload, findings=list(begun.findings), observed=dict(begun.observed))

    def run(self, seen: Sequence[SeenDatagram], others: Sequence[Other]) -> Matched:
        """Match what was seen, in capture order."""
        result = self.result
        rest = [item for item in seen if not self._exact(item)]
        rest = [item for item in rest if not self._copy(item)]
        rest, left_others = self._altered(rest, others)
        result.left, result.left_others = rest, left_others
        pending = [slot for slot in self._slots if slot.seen is None]
        for slot in pending:
            if not slot.expected.optional:
                result.missing += 1
                result.findings.append(_missing(slot.expected))
        for burst in self._bursts:
            result.missing += burst.report_missing(result.findings)
            result.matched += burst.matched
            result.altered += burst.altered
            result.duplicated += burst.duplicated
            result.reordered += burst.reordered
            result.expected += burst.burst.count
        result.expected += sum(1 for slot in self._slots if slot.seen is not None or not slot.expected.optional)
        result.pairs.sort(key=lambda pair: pair[1].frame)
        self._order()
        return result

    def _port(self, expected: ExpectedDatagram) -> int:
        return expected.source.port or self._ports.get(expected.socket, 0)

    def _exact(self, seen: SeenDatagram) -> bool:
        if not seen.complete or (seen.problems and any(item.field != REPEATED for item in seen.problems)):
            return False
        fitting: list[tuple[int, Alike, Slot, Form]] = []
        for group in self._index.get((seen.destination, seen.destination_port, seen.payload), ()):
            slot = group.next()
            form = self._form(slot, seen) if slot is not None else None
            if slot is not None and form is not None:
                fitting.append((group.place, group, slot, form))
        if fitting:
            _, group, slot, form = min(fitting, key=lambda item: item[0])
            group.take()
            slot.seen = seen
            self._take(form, seen)
            self.result.matched += 1
            self.result.pairs.append((slot.expected, seen))
            return True
        for again in (False, True):
            for burst in self._bursts:
                taken = burst.take(seen, self._port(burst.burst.template), self.result.findings, again=again)
                if taken is not None:
                    self._take(taken, seen)
                    return True
        return False

    def _form(self, slot: Slot, seen: SeenDatagram) -> Form | None:
        """The form of the expected datagram that equals the seen one; ``None`` when none does."""
        return next((f for f in slot.forms if equal(f, seen, self._port(f.expected), f.expected.payload)), None)

    def _take(self, form: Form, seen: SeenDatagram) -> None:
        """Book what a matched datagram teaches: its port, a partial checksum, repeated fragments, observed fields."""
        expected, result = form.expected, self.result
        self._ports.setdefault(expected.socket, seen.source_port)
        if seen.checksum_state is ChecksumState.PARTIAL:
            result.offload += 1
            if not self._partial or len(seen.layout) > 1:
                result.findings.append(offload_finding(expected, seen))
        for item in seen.problems:
            result.duplicated += 1
            finding = Finding(
                Verdict.DUPLICATED, seen.frame, expected.operation, item.field, item.expected, item.seen, item.detail
            )
            result.findings.append(finding)
        for observation in observations(form, seen) if form.watched else ():
            result.observed.setdefault((observation.field, observation.expected, observation.seen), observation)
        if not seen.in_order:
            result.observed.setdefault(
                ("ip.fragment_order", "", ""),
                Observation(
                    expected.operation,
                    "ip.fragment_order",
                    "ascending",
                    "not ascending",
                    expected.free["ip.fragment_order"],
                ),
            )

    def _copy(self, seen: SeenDatagram) -> bool:
        """Whether it equals a datagram that has been matched already."""
        if not seen.complete or seen.problems:
            return False
        for group in self._index.get((seen.destination, seen.destination_port, seen.payload), ()):
            slot = group.first_taken()
            first = slot.seen if slot is not None else None
            if slot is None or first is None or self._form(slot, seen) is None:
                continue
            same_id = seen.identification == first.identification and seen.identification != 0
            detail = "the same IP identification: copied on the way" if same_id else "sent again by the guest"
            self._duplicate(slot.expected, seen, first.frame, detail if len(seen.source) == 4 else "")
            return True
        return False

    def _duplicate(self, expected: ExpectedDatagram, seen: SeenDatagram, first: int, detail: str) -> None:
        self.result.duplicated += 1
        self.result.findings.append(
            Finding(
                Verdict.DUPLICATED,
                seen.frame,
                expected.operation,
                "datagram",
                "once",
                f"again after frame {first}",
                detail,
            )
        )

    def _altered(self, rest: list[SeenDatagram], others: Sequence[Other]) -> tuple[list[SeenDatagram], list[Other]]:
        """Give leftovers to the expected datagrams that they were meant to be."""
        pending = [slot for slot in self._slots if slot.seen is None]
        owner: dict[int, BurstTracker] = {}
        if rest or others:
            for burst in self._bursts:
                for sequence in burst.some_missing():
                    slot = Slot(burst.burst.template, burst.burst.payload(sequence))
                    owner[id(slot)] = burst
                    burst.slots[id(slot)] = sequence
                    pending.append(slot)
        if not pending:
            return rest, list(others)
        from harness.verify.nearest import nearest_pairs  # late: numpy costs every cell's start, few cases need it

        taken: set[int] = set()
        for slot, seen in nearest_pairs(pending, rest, self._port):
            every = (differences(form, seen, self._port(form.expected), slot.payload) for form in slot.forms)
            found = min(every, key=len)
            fields = {item.field for item in found}
            if SUPER_FRAME in fields and fields <= {SUPER_FRAME, "ip.dont_fragment"}:
                found = [item for item in found if item.field == SUPER_FRAME]
            self._report(slot, owner, seen.frame, found)
            slot.seen = seen
            taken.add(id(seen))
        left_others = list(others)
        for slot, other, damage in damaged_frames([item for item in pending if item.seen is None], others, self._port):
            self._report(slot, owner, other.frame, [damage])
            slot.seen = _NOWHERE
            left_others.remove(other)
        return [item for item in rest if id(item) not in taken], left_others

    def _report(self, slot: Slot, owner: dict[int, BurstTracker], frame: int, found: list[Difference]) -> None:
        burst = owner.get(id(slot))
        if [item.field for item in found] == [SUPER_FRAME]:
            self._super_frame(slot, burst, frame, found[0])
            return
        if burst is not None:
            burst.mark_altered(burst.slots[id(slot)])
        else:
            self.result.altered += 1
        for item in found or [Difference("datagram", str(slot.expected), "another form of it")]:
            verdict = Verdict.ALTERED
            if item.field == REPEATED:
                verdict = Verdict.DUPLICATED
            self.result.findings.append(
                Finding(verdict, frame, slot.expected.operation, item.field, item.expected, item.seen, item.detail)
            )

    def _super_frame(self, slot: Slot, burst: BurstTracker | None, frame: int, found: Difference) -> None:
        """The right datagram in one frame that no wire carries: the lab's doing, not the driver's."""
        self.result.offload += 1
        if burst is not None:
            burst.mark_matched(burst.slots[id(slot)])
        else:
            self.result.matched += 1
        self.result.findings.append(
            Finding(
                Verdict.OFFLOAD, frame, slot.expected.operation, found.field, found.expected, found.seen, found.detail
            )
        )

    def _order(self) -> None:
        """Within a socket, what had completed before another send was issued must come before that one's datagram."""
        latest: dict[SocketId, tuple[int, int, int]] = {}
        for expected, seen in self.result.pairs:
            operation, index, frame = latest.get(expected.socket, (-1, -1, 0))
            if (expected.operation, expected.index) > (operation, index):
                latest[expected.socket] = (expected.operation, expected.index, seen.frame)
            elif expected.completed < operation:
                self.result.reordered += 1
                self.result.findings.append(
                    Finding(
                        Verdict.REORDERED, seen.frame, expected.operation, "order",
                        f"before the datagram of step {operation}", f"after it (frame {frame})",
                    )
                )  # fmt: skip
            else:
                self.result.observed.setdefault(
                    ("order", "", ""),
                    Observation(
                        expected.operation,
                        "order",
                        "as issued",
                        "otherwise",
                        "sends in flight together: not documented",
                    ),
                )


_NOWHERE = SeenDatagram((0,), b"", b"", b"", b"", 0, 0, b"", 0, 0, False, 0, 0, ChecksumState.UNKNOWN, ())


def offload_finding(expected: ExpectedDatagram, seen: SeenDatagram) -> Finding:
    """What is said of a datagram whose checksum is partial where it should not be."""
    text = f"0x{seen.checksum:04x}, the sum of the pseudo-header alone"
    why = "left to hardware that is not there: turn checksum offload off on this NIC"
    return Finding(Verdict.OFFLOAD, seen.frame, expected.operation, "udp.checksum", "a whole checksum", text, why)


def _missing(expected: ExpectedDatagram) -> Finding:
    return Finding(Verdict.MISSING, None, expected.operation, "datagram", str(expected), "nothing", "not on the wire")
