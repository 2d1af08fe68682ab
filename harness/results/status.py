"""The four statuses of a case, a cell and a run, how many become one, and the exit code they give."""

from __future__ import annotations

from collections.abc import Iterable

from harness.errors import EXIT_FAILED, EXIT_LAB, EXIT_PASSED
from harness.verify.verdict import Status

__all__ = ["Status", "exit_code", "worst"]

_WORST_FIRST = (Status.FAILED, Status.INCONCLUSIVE, Status.PASSED, Status.SKIPPED)


def worst(statuses: Iterable[Status]) -> Status:
    """One status for many: failed before inconclusive before passed before skipped.

    Nothing at all is inconclusive: a test never passes because nobody looked.
    """
    seen = set(statuses)
    return next((status for status in _WORST_FIRST if status in seen), Status.INCONCLUSIVE)


def exit_code(statuses: Iterable[Status]) -> int:
    """Exit code of a run by its worst status; a run in which nothing was judged is the lab's fault, not a pass."""
    status = worst(statuses)
    return {Status.PASSED: EXIT_PASSED, Status.FAILED: EXIT_FAILED}.get(status, EXIT_LAB)
