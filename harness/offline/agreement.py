"""Compares the cases in plan, capture and record of a cell, and returns each difference as one line. Pure.

If one of the three lacks a case, it was edited or cut, so the other two cannot give a verdict on the case.
Cases whose names begin with ``harness::`` are the harness's own (a restored guest's first datagram, the unload): the
record lists them only if something was wrong.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from harness.capture.marker import SILENCE
from harness.results.record import OWN
from harness.trace.trace_lines import Plan
from harness.verify.closing import Closing
from harness.verify.verdict import Status

UNPROVEN = "the record is of an older version and holds no digests: that plan and capture are whole cannot be proven"
"""Note on a cell whose record has no digests of its files."""
_TRIAL = re.compile(r"(.*) trial \d+", re.DOTALL)
_CLOSINGS_SINCE = 2


def only_in_capture(plan: Plan, marked: Iterable[str]) -> list[str]:
    """List cases that have markers in the capture and no line in the plan.

    Args:
        plan: the plan; for schema 1 the list is empty, because without closings a case that did nothing has no line.
        marked: names of the cases that have markers.
    """
    if plan.header.schema < _CLOSINGS_SINCE:
        return []
    known = {step.case for step in plan.steps} | {closing.case for closing in plan.closings}
    return [
        f"the capture holds the case {case}, of which the plan says nothing"
        for case in marked
        if case not in known and case != SILENCE
    ]


def without_markers(case: str, closing: Closing | None, *, acted: bool) -> tuple[str, ...]:
    """Return the doubt about a case of the plan that has no markers, in a capture that holds markers of other cases.

    A case without steps is not doubted if its closing explains it or if it is the harness's own.

    Args:
        case: its name.
        closing: how the case ended, according to the plan.
        acted: whether the plan has steps of the case.
    """
    explained = closing is not None and bool(closing.doubts or closing.failure or closing.skipped)
    if not acted and (explained or case.startswith(OWN)):
        return ()
    return ("the case's markers are not in the capture",)


def with_record(statuses: Mapping[str, str], planned: Collection[str]) -> list[str]:
    """List cases that only the record or only the plans of a cell have.

    Args:
        statuses: the record's status of each case; a skipped case may be missing from the plan.
        planned: names of the cases in the plans of all attempts.
    """
    lost = [
        f"the record says {status} of {case}, of which the plan says nothing"
        for case, status in statuses.items()
        if case not in planned and status != Status.SKIPPED
    ]
    more = [
        f"the plan holds the case {case}, of which the record says nothing"
        for case in planned
        if case and case not in statuses and not case.startswith(OWN) and not _is_trial(case, statuses)
    ]
    return lost + more


def _is_trial(case: str, statuses: Mapping[str, str]) -> bool:
    """True if a case is a trial of another case; trials are in no record."""
    match = _TRIAL.fullmatch(case)
    return match is not None and match[1] in statuses
