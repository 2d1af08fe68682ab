"""The verdict on one case of a file, and the verdict on a file without markers taken apart by the plan's cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from harness.model.datagram import Prediction
from harness.offline.segments import Stretch
from harness.verify.verdict import CaseVerdict, DatagramCounts, Finding, Verdict


@dataclass(frozen=True, slots=True)
class Part:
    """The verdict on one case.

    Args:
        case: its name; empty for what belongs to none.
        verdict: what is said of it.
        predictions: what the model expected.
        frames: numbers of its first and last frame, (0, 0) for none.
    """

    case: str
    verdict: CaseVerdict
    predictions: tuple[Prediction, ...] = ()
    frames: tuple[int, int] = (0, 0)


def by_case(cases: Sequence[str], stretch: Stretch, verdict: CaseVerdict) -> list[Part]:
    """The verdict on a whole file as verdicts on the plan's cases, and one on what belongs to none of them."""
    case_of = {step.number: step.case for step in stretch.steps}
    expected: Counter[str] = Counter()
    for prediction in stretch.predictions:
        expected[prediction.case] += sum(not item.optional for item in prediction.datagrams)
        expected[prediction.case] += prediction.burst.count if prediction.burst else 0
    found: dict[str, list[Finding]] = {case: [] for case in cases}  # also those that did nothing
    for finding in verdict.findings:
        case = case_of.get(finding.operation, "") if finding.operation is not None else ""
        found.setdefault(case, []).append(finding)
    parts = []
    for case, findings in found.items():
        mine = tuple(item for item in stretch.predictions if item.case == case)
        counts = _counts(expected[case], findings)
        if len(cases) == 1 and case:
            counts = verdict.counts
        observed = tuple(item for item in verdict.observed if case_of.get(item.operation or -1) == case)
        parts.append(Part(case, CaseVerdict(counts, tuple(findings), observed, doubts=verdict.doubts), mine))
    return parts


def _counts(expected: int, findings: Sequence[Finding]) -> DatagramCounts:
    """Datagrams of a case as far as its findings tell them; each altered one is counted once."""
    frames = {item: len({f.frame for f in findings if f.verdict is item}) for item in Verdict}
    missing = sum(1 for item in findings if item.verdict is Verdict.MISSING and item.field == "datagram")
    return DatagramCounts(
        expected=expected,
        matched=max(0, expected - missing - frames[Verdict.ALTERED]),
        missing=missing,
        altered=frames[Verdict.ALTERED],
        duplicated=frames[Verdict.DUPLICATED],
        reordered=frames[Verdict.REORDERED],
        unexpected=frames[Verdict.UNEXPECTED],
        offload=frames[Verdict.OFFLOAD],
    )
