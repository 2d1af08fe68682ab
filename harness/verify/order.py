"""What of many findings is told, and in which order: the same for every reader, never more than a person can use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from harness.verify.verdict import Finding, Kind, Verdict

MOST = 1000
"""Findings of one kind that are spelled out; the rest are counted."""

_WORST_FIRST = (
    Verdict.ALTERED,
    Verdict.MISSING,
    Verdict.UNEXPECTED,
    Verdict.DUPLICATED,
    Verdict.REORDERED,
    Verdict.OFFLOAD,
)
_RANK = {verdict: rank for rank, verdict in enumerate(_WORST_FIRST)}
_LAST = 1 << 62


def kind_of(finding: Finding) -> Kind:
    """What findings must have in common to be counted instead of told."""
    return finding.verdict, finding.operation, finding.field


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Findings about the wire, worst verdict first and by frame, then by step; what one frame shows stays in order."""
    return sorted(findings, key=_place)


def _place(finding: Finding) -> tuple[int, int, int]:
    frame = _LAST if finding.frame is None else finding.frame
    return _RANK.get(finding.verdict, len(_RANK)), frame, _LAST if finding.operation is None else finding.operation


def limited(findings: Iterable[Finding], untold: Counter[Kind]) -> list[Finding]:
    """The first ``MOST`` findings of each kind, and one that counts the others of it.

    Args:
        findings: in the order in which they are to be told.
        untold: how many more there are of a kind that are not among them.
    """
    told: Counter[Kind] = Counter()
    more = Counter(untold)
    out: list[Finding] = []
    for finding in findings:
        kind = kind_of(finding)
        told[kind] += 1
        if told[kind] <= MOST:
            out.append(finding)
        else:
            more[kind] += 1
    for (verdict, operation, name), count in more.items():
        out.append(Finding(verdict, None, operation, name, "", f"{count} more like the {MOST} before"))
    return out
