"""Defines the verdict on one case of a file, and splits the verdict on a file without markers by the plan's cases."""

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
        case: its name; empty for the findings that belong to no case.
        verdict: the verdict on the case.
        predictions: the model's predictions for the case's steps.
        frames: numbers of its first and last frame, (0, 0) for none.
    """

    case: str
    verdict: CaseVerdict
    predictions: tuple[Prediction, ...] = ()
    frames: tuple[int, int] = (0, 0)


def by_case(cases: Sequence[str], stretch: Stretch, verdict: CaseVerdict) -> list[Part]:
    """Split the verdict on a whole file into one verdict per case of the plan, and one for findings without a case."""
    case_of = {step.number: step.case for step in stretch.steps}
    expected: Counter[str] = Counter()
    for prediction in stretch.predictions:
        expected[prediction.case] += sum(not item.optional for item in prediction.datagrams)
        expected[prediction.case] += prediction.burst.count if prediction.burst else 0
    found: dict[str, list[Finding]] = {case: [] for case in cases}  # also cases without steps
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
    """Count the datagrams of a case from its findings; an altered one counts once, however many findings it has."""
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
