"""Whether a defect was caught, and by its name: pure, from a cell's results."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.results.record import CaseResult, CellResult
from harness.results.status import Status
from harness.selftest.defects.table import Defect


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Args:
        id, group, what: of the defect or fault.
        expected: what must name it.
        verdict: what did, or what came in its place.
        case: the case that caught it.
        seconds: for building, booting and running it.
        caught: by its expected verdict.
        why: what is wrong when it was not.
    """

    id: str
    group: str
    what: str
    expected: str
    verdict: str
    case: str
    seconds: float
    caught: bool
    why: str = ""


def judge(defect: Defect, result: CellResult, seconds: float) -> Row:
    """The row of a defect of the driver."""
    failed = [case for case in result.cases if case.status is Status.FAILED]
    verdict, case = named(defect.expects, failed)
    nothing_ran = result.status is Status.FAILED and not result.cases
    if not verdict and nothing_ran and _in_reason(defect.expects, result.reason):
        verdict, case = f"reason:{result.reason}", "the load"
    why = ""
    if not verdict:
        verdict, case = _instead(result, failed)
        why = "named wrongly" if failed else "missed"
    elif lost := [name for name in defect.survives if not _passed(name, result.cases)]:
        why = f"{lost[0]} did not pass after it"
    return Row(
        defect.id,
        defect.group,
        defect.what,
        " or ".join(defect.expects),
        verdict,
        case,
        round(seconds, 1),
        not why,
        why,
    )


def named(expects: Iterable[str], failed: Iterable[CaseResult]) -> tuple[str, str]:
    """The first of the expected verdicts that a failed case has, and the case; empty when none has."""
    for case in failed:
        seen = {f"{finding.verdict}:{finding.field}" for finding in case.findings}
        for expected in expects:
            kind, _, field = expected.partition(":")
            if kind == "reason":
                if field in case.reason:
                    return expected, case.id
            elif expected in seen or any(found.startswith((f"{expected}.", f"{expected}[")) for found in seen):
                return expected, case.id
    return "", ""


def _in_reason(expects: Iterable[str], reason: str) -> bool:
    texts = [expected.removeprefix("reason:") for expected in expects if expected.startswith("reason:")]
    return any(text in reason for text in texts)


def _passed(name: str, cases: Iterable[CaseResult]) -> bool:
    return any(case.id.endswith(name) and case.status is Status.PASSED for case in cases)


def _instead(result: CellResult, failed: list[CaseResult]) -> tuple[str, str]:
    if failed:
        kinds = dict.fromkeys(f"{finding.verdict}:{finding.field}" for finding in failed[0].findings)
        return ", ".join(kinds) or failed[0].reason, failed[0].id
    return f"{result.status}: {result.reason}" if result.reason else str(result.status), ""
