"""Which verdicts may be asked for again, and how two attempts become one record that hides neither. Pure.

What the lab did wrong is asked again. Of what the driver did wrong, only what depends on time (a datagram missing,
twice or out of order) is: a wrong byte or a book that does not balance is evidence that no second run takes away.
"""

from __future__ import annotations

from dataclasses import replace

from harness.history.store import sign
from harness.results.record import OWN, Attempt, CaseResult, CellResult
from harness.results.status import Status, worst

_BY_TIME = frozenset({"missing", "duplicated", "reordered"})


def case_wanted(case: CaseResult) -> bool:
    """Whether the case may be run once more."""
    if case.earlier or case.id.startswith(OWN):
        return False
    if case.status is Status.INCONCLUSIVE:
        return True
    if case.status is not Status.FAILED or not case.findings:
        return False
    return all(finding.verdict in _BY_TIME for finding in case.findings)


def wanted(cell: CellResult) -> tuple[str, ...] | None:
    """Ids of the cases of a cell to run again; empty means all of it, ``None`` nothing."""
    if cell.fault in ("lab", "harness"):
        return ()
    return tuple(case.id for case in cell.cases if case_wanted(case)) or None


def merged(first: CellResult, second: CellResult) -> CellResult:
    """One record of both attempts: the later verdict counts, the earlier one is kept with it.

    Cases that only one attempt judged are taken from it. A retry that never came up changes nothing.
    """
    if second.fault and not second.cases:
        reason = f"{first.reason}; run again: {second.reason}" if first.reason else f"run again: {second.reason}"
        return replace(first, reason=reason) if first.fault else first
    again = {case.id: case for case in second.cases}
    cases = [_both(case, again.pop(case.id, None), first.folder) for case in first.cases]
    cases += list(again.values())
    ended = second.fault or (first.fault if not second.cases else "")
    base = second if first.fault else first
    status = worst(case.status for case in cases)
    status = worst((status, second.status)) if ended else status
    timings = {**first.timings, "retry": second.timings.get("total", 0.0)}
    facts = {**base.facts, "retry": f"run again: {first.reason or 'single cases'}"}
    if first.fault:
        evidence = {"first attempt": f"{first.folder}/worker.log"} | second.evidence
    else:
        evidence = first.evidence | {"retry": f"{second.folder}/capture.pcapng"}
    return replace(
        base,
        status=status,
        fault=ended,
        reason=second.reason if first.fault else first.reason,
        cases=tuple(cases),
        timings=timings,
        facts=facts,
        evidence=evidence,
        files=(*first.files, *second.files),
    )


def _both(first: CaseResult, second: CaseResult | None, folder: str) -> CaseResult:
    if second is None:
        return first
    attempt = Attempt(first.status, first.told(), first.seconds, sign(first), folder)
    return replace(second, earlier=(*first.earlier, attempt))
