"""Renders the verdict on a file as JSON for machines and as text for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from harness.capture.tshark import one_pass
from harness.offline.cases import Part
from harness.offline.verify import FileVerdict
from harness.verify.explain import Explanation, explain, text, worth_explaining
from harness.verify.verdict import DatagramCounts, Finding, Status

SCHEMA = 1
_MOST_LINES = 40


def to_json(verdict: FileVerdict) -> dict[str, Any]:
    """Return the verdict as the JSON value that ``harness verify --json`` prints."""
    return {
        "schema": SCHEMA,
        "status": verdict.status.value,
        "reason": verdict.reason,
        "datagrams": asdict(verdict.counts),
        "findings": [_finding(case, item) for case, item in verdict.findings],
        "cases": [_case(part) for part in verdict.parts],
        "capture": {"path": str(verdict.path), **verdict.about},
        "doubts": list(verdict.doubts),
        "notes": list(verdict.notes),
    }


def _finding(case: str, item: Finding) -> dict[str, Any]:
    return {**asdict(item), "verdict": item.verdict.value, "case": case}


def _case(part: Part) -> dict[str, Any]:
    return {
        "id": part.case,
        "status": part.verdict.status.value,
        "reason": part.verdict.reason,
        "datagrams": asdict(part.verdict.counts),
        "frames": list(part.frames) if part.frames[0] else None,
        "observed": [asdict(item) for item in part.verdict.observed],
        "background": dict(part.verdict.background),
    }


def to_text(verdict: FileVerdict, explanations: int) -> Iterator[str]:
    """Yield lines: the cases, findings, the first ``explanations`` findings in full, doubts, notes and the sum."""
    for part in verdict.parts:
        name = part.case or "(what belongs to no case)"
        reason = f": {part.verdict.reason}" if part.verdict.reason else ""
        yield f"{part.verdict.status.value:12} {name}  {_counts(part.verdict.counts)}{reason}"
    findings = [item for _, item in verdict.findings]
    for item in findings[:_MOST_LINES]:
        yield f"  {item.line()}"
    if len(findings) > _MOST_LINES:
        yield f"  ... {len(findings) - _MOST_LINES} more findings (--json lists all of them)"
    for explanation in explain_some(verdict, explanations):
        yield ""
        yield from text(explanation).splitlines()
    if explanations and findings:
        yield ""
    for doubt in verdict.doubts:
        yield f"{Status.INCONCLUSIVE.value}: {doubt}"
    for note in verdict.notes:
        yield f"note: {note}"
    reason = f": {verdict.reason}" if verdict.reason else ""
    yield f"{verdict.status.value}: {verdict.path}, {verdict.about['frames']} frames, {_counts(verdict.counts)}{reason}"


def explain_some(verdict: FileVerdict, most: int) -> Iterator[Explanation]:
    """Explain the first ``most`` findings about datagrams, with tshark's text if tshark is installed."""
    predictions = [item for part in verdict.parts for item in part.predictions]
    for item in worth_explaining(finding for _, finding in verdict.findings)[:most]:
        frame = verdict.evidence.get(item.frame) if item.frame is not None else None
        told = one_pass.show([frame])[0] if frame is not None else ""
        yield explain(item, predictions, frame, verdict.path, told)


def _counts(counts: DatagramCounts) -> str:
    told = [
        f"{value} {name}" for name, value in asdict(counts).items() if value and name not in ("expected", "matched")
    ]
    return ", ".join([f"{counts.matched} of {counts.expected} matched", *told])
