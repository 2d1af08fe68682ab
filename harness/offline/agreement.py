"""Whether plan, capture and record of a cell speak of the same cases. Pure; each difference is one line.

A case that one of them lacks was removed from it, or never reached it: what the others say of it is no verdict then.
Names that begin with ``harness::`` are the harness's own (a restored guest's first datagram, the unload): the record
lists them only when something was wrong.
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
"""The note on a cell whose record names no digests."""
_TRIAL = re.compile(r"(.*) trial \d+", re.DOTALL)
_CLOSINGS_SINCE = 2


def only_in_capture(plan: Plan, marked: Iterable[str]) -> list[str]:
    """Cases that have markers in the capture and no line in the plan.

    Args:
        plan: the plan; one without closings (schema 1) cannot tell of a case that did nothing.
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
    """The doubt about a case of the plan that has no markers in a capture with markers.

    Args:
        case: its name.
        closing: how it ended, by the plan.
        acted: whether the plan has steps of it.
    """
    explained = closing is not None and bool(closing.doubts or closing.failure or closing.skipped)
    if not acted and (explained or case.startswith(OWN)):
        return ()
    return ("the case's markers are not in the capture",)


def with_record(statuses: Mapping[str, str], planned: Collection[str]) -> list[str]:
    """Cases that the record and the plans of a cell do not both have.

    Args:
        statuses: the record's status of each case; one that was skipped need not be in the plan.
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
    """Whether a case is a trial of another one, which counts in no result."""
    match = _TRIAL.fullmatch(case)
    return match is not None and match[1] in statuses
