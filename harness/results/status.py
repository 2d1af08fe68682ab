"""Combines the statuses of cases, cells and runs into one, and maps a run's status to its exit code."""

from __future__ import annotations

from collections.abc import Iterable

from harness.errors import EXIT_FAILED, EXIT_LAB, EXIT_PASSED
from harness.verify.verdict import Status

__all__ = ["Status", "exit_code", "worst"]

_WORST_FIRST = (Status.FAILED, Status.INCONCLUSIVE, Status.PASSED, Status.SKIPPED)


def worst(statuses: Iterable[Status]) -> Status:
    """Return the worst of many statuses: failed, then inconclusive, then passed, then skipped.

    No statuses at all are inconclusive: a test must not pass because nothing was checked.
    """
    seen = set(statuses)
    return next((status for status in _WORST_FIRST if status in seen), Status.INCONCLUSIVE)


def exit_code(statuses: Iterable[Status]) -> int:
    """Return a run's exit code by its worst status; a run that judged nothing exits as a lab error, not as a pass."""
    status = worst(statuses)
    return {Status.PASSED: EXIT_PASSED, Status.FAILED: EXIT_FAILED}.get(status, EXIT_LAB)
