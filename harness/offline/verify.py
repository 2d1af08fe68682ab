"""Judges a capture file by a plan: reads both, judges each case, and sums up.

Two readers lead to the same verdict. With ``tshark``, tshark dissects every kept frame, and each is judged one by one;
with ``fast``, datagrams that a burst predicts byte for byte are matched in columns, and only the others are dissected
and judged one by one. ``auto`` is ``tshark`` for small files if tshark is installed, else ``fast``. Without tshark a
note says that the verdict rests on the harness's own parser.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path

from harness.capture.files import CaptureFile
from harness.capture.frames import CapturedFrame, Integrity
from harness.capture.tshark import one_pass
from harness.model.site import Site
from harness.offline import agreement
from harness.offline.cases import Part, by_case
from harness.offline.judged import ask_tshark, judged, troubles
from harness.offline.segments import Choice, Splitter
from harness.results.status import worst
from harness.trace.trace_file import read_plan
from harness.trace.trace_lines import Plan
from harness.verify.closing import Closing, closed
from harness.verify.late import Late
from harness.verify.verdict import CaseVerdict, DatagramCounts, Finding, Status
from harness.wsk.operations import named_addresses
from harness.wsk.types import Address

_SMALL = 4 << 20


class Reader(StrEnum):
    """Which reader matches the frames of a file (see the module's docstring)."""

    AUTO = "auto"
    TSHARK = "tshark"
    FAST = "fast"


@dataclass(frozen=True, slots=True)
class FileVerdict:
    """The verdict on a file.

    Args:
        path: the capture.
        status: the worst status of the cases; inconclusive counts in if there are doubts.
        reason: one line; empty when passed.
        counts: datagrams by verdict, all cases together.
        doubts: missing or changed parts of plan or capture that belong to no case, one line each.
        parts: the cases, in the plan's order.
        evidence: the frames that findings name, by number.
        notes: remarks on the file and the reader that do not change the status, one line each.
        about: facts about the file: format, frames, interfaces, markers, reader, tshark.
        site: the lab in which it was captured.
    """

    path: Path
    status: Status
    reason: str
    counts: DatagramCounts
    parts: tuple[Part, ...]
    evidence: dict[int, CapturedFrame]
    notes: tuple[str, ...]
    about: dict[str, object]
    site: Site
    doubts: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[tuple[str, Finding], ...]:
        """All findings, each with the name of its case."""
        return tuple((part.case, finding) for part in self.parts for finding in part.verdict.findings)


def verify(capture: Path, plan_file: Path, reader: Reader = Reader.AUTO, choice: Choice | None = None) -> FileVerdict:
    """Judge a capture file by the plan of the executed steps.

    Args:
        capture: pcap or pcapng file, compressed or not.
        plan_file: ``operations.jsonl`` of the run.
        reader: the reader of the frames.
        choice: which frames are judged; all of them by default.

    Raises:
        UsageError: a file cannot be read.
        LabError: ``reader`` is ``tshark``, which is not installed.
    """
    plan, site = read_plan(plan_file)
    return verify_plan(capture, plan, site, reader, choice)


def verify_plan(
    capture: Path, plan: Plan, site: Site, reader: Reader = Reader.AUTO, choice: Choice | None = None
) -> FileVerdict:
    """Judge a capture file as ``verify`` does, by a plan that the caller has read."""
    choice = choice or Choice()
    with CaptureFile(capture) as file:
        exact = reader is Reader.TSHARK or (
            reader is Reader.AUTO and _size(capture) <= _SMALL and bool(one_pass.find())
        )
        splitter = Splitter(plan, site, replace(choice, bulk=choice.bulk and not exact))
        for batch in file.batches():
            splitter.feed(batch)
        notes: list[str] = []
        if reader is Reader.TSHARK or one_pass.find():
            stretches = [splitter.whole] if not splitter.marked else list(splitter.stretches.values())
            # tshark would reassemble fragments across interfaces, so it gets only the chosen frames.
            whole_file = exact and one_pass.reads(file.compression) and not choice.interface and choice.vlan is None
            ask_tshark(capture, stretches, whole_file=whole_file)
            asked = True
        else:
            notes.append("tshark is not installed: the verdict rests on our own reading of the frames alone")
            asked = False
        cut_up = _marked if splitter.marked else _unmarked
        parts, counts = cut_up(splitter, file, site, asked, plan.closings)
        parts = _closed(parts, plan)
        doubts = [*plan.doubts]
        if splitter.marked and not choice.interface:
            doubts += agreement.only_in_capture(plan, splitter.stretches)
        if not plan.ends:
            notes.append("the plan's version has no count and digest of its lines: that it is whole cannot be proven")
        notes += _notes(splitter, file, plan)
        about: dict[str, object] = {
            "format": file.format,
            "frames": file.frames,
            "interfaces": [item.name for item in file.interfaces],
            "markers": splitter.marked,
            "reader": (Reader.TSHARK if exact else Reader.FAST).value,
            "tshark": asked,
        }
    status = worst([*(part.verdict.status for part in parts), *(Status.INCONCLUSIVE for _ in doubts[:1])])
    reason = next((part.verdict.reason for part in parts if part.verdict.status is status), "")
    if doubts and status is Status.INCONCLUSIVE:
        reason = doubts[0]
    if not parts:
        reason = "the plan has no steps: nothing could be looked at"
    evidence = _evidence(parts, splitter)
    told = tuple(doubts)
    return FileVerdict(capture, status, reason, counts, tuple(parts), evidence, tuple(notes), about, site, told)


def _size(path: Path) -> int:
    """Return the file's size in bytes, or eight times that if it may be compressed."""
    return path.stat().st_size * (1 if path.suffix in (".pcap", ".pcapng", ".cap") else 8)


def _marked(
    splitter: Splitter, file: CaptureFile, site: Site, asked: bool, closings: Sequence[Closing]
) -> tuple[list[Part], DatagramCounts]:
    """Judge each case of the plan by its own stretch of the capture, between its markers."""
    doubts = list(splitter.doubts)
    if len(splitter.runs) > 1:
        doubts.append(f"the capture holds markers of {len(splitter.runs)} runs")
    dropped = file.dropped
    if dropped is None and not file.damage:
        dropped = 0  # pcap cannot hold this number, and tools that copy pcapng drop it: `_notes` mentions that
    parts = []
    closing_of = {closing.case: closing for closing in closings}
    late = Late(site)
    named: frozenset[Address] = frozenset()
    for case in splitter.cases:
        stretch = splitter.stretches.get(case)
        if stretch is None:
            doubts_of_it = agreement.without_markers(case, closing_of.get(case), acted=case in splitter.acted)
            parts.append(Part(case, CaseVerdict(doubts=doubts_of_it)))
            continue
        damage = [file.damage] if file.damage and not stretch.ended else []
        integrity = Integrity(stretch.started, stretch.ended, dropped, (*damage, *doubts, *troubles(stretch, splitter)))
        verdict = judged(stretch, integrity, site, asked, named)
        named |= named_addresses(stretch.steps)
        verdict = late.named(case, verdict, stretch.predictions, stretch.kept)
        parts.append(Part(case, verdict, stretch.predictions, (stretch.first, stretch.last)))
    total: Counter[str] = Counter()
    for part in parts:
        total.update(asdict(part.verdict.counts))
    return parts, DatagramCounts(**total)


def _unmarked(
    splitter: Splitter, file: CaptureFile, site: Site, asked: bool, _closings: Sequence[Closing]
) -> tuple[list[Part], DatagramCounts]:
    """Judge the whole file at once, and split the verdict by the plan's cases."""
    stretch = splitter.whole
    if not stretch.steps:
        return [], DatagramCounts()
    doubts = [*([file.damage] if file.damage else []), *troubles(stretch, splitter)]
    if not file.frames:
        doubts.append("the capture holds no frame at all: nothing shows that it was live")
    elif not (stretch.kept or stretch.bulk.begun.ports or stretch.guests):
        doubts.append("the capture holds frames of the host only, or none: nothing shows that the guest was seen")
    verdict = judged(stretch, Integrity(dropped=file.dropped or 0, problems=tuple(doubts)), site, asked)
    return by_case(splitter.cases, stretch, verdict), verdict.counts


def _closed(parts: Sequence[Part], plan: Plan) -> list[Part]:
    """Add the run's closings (counters, failures, doubts) to the verdicts; the last of a case's closings counts.

    If the plan was cut or edited, every case becomes doubtful, because missing steps are not the driver's fault.
    """
    of_case = {closing.case: closing for closing in plan.closings}
    of_all = (*plan.doubts, *of_case.get("", Closing("")).doubts)
    out = []
    for part in parts:
        closing = of_case.get(part.case) if part.case else None
        closing = closing or Closing(part.case)
        verdict = closed(part.verdict, replace(closing, doubts=(*closing.doubts, *of_all)), part.predictions)
        out.append(replace(part, verdict=verdict))
    return out


def _evidence(parts: Sequence[Part], splitter: Splitter) -> dict[int, CapturedFrame]:
    wanted = {item.frame for part in parts for item in part.verdict.findings if item.frame is not None}
    stretches = splitter.stretches.values() if splitter.marked else (splitter.whole,)
    return {frame.number: frame for stretch in stretches for frame in stretch.kept if frame.number in wanted}


def _notes(splitter: Splitter, file: CaptureFile, plan: Plan) -> list[str]:
    notes = []
    if not splitter.marked:
        notes.append("no markers in the capture: nobody vouches that it began before the first send and lost nothing")
    if any(stretch.cooked for stretch in (splitter.whole, *splitter.stretches.values())):
        notes.append("a cooked capture shows no destination MAC: it was not checked")
    if splitter.marked and file.damage:
        notes.append(file.damage)
    elif splitter.marked and file.dropped is None:
        notes.append("no statistics in the file: nobody says how many frames the capture lost")
    if splitter.undirected:
        notes.append(
            f"the file does not say of {splitter.undirected} frames whether the host sent them: they are told apart by "
            "MAC, which a guest can write as well"
        )
    if splitter.marked and not plan.header.markers:
        notes.append("the plan does not name the secret of its markers: a guest could have sent some of them")
    for what, count in file.others.items():
        notes.append(f"frames that are none of a network have a number, too, and are not judged: {count} x {what}")
    if splitter.outside:
        notes.append(f"{splitter.outside} frames lie outside of all cases")
    return notes
